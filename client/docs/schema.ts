// Schemas in words.

import type { OpenApi, Schema } from "./document";

/** A member of an object, and those of the objects in it. */
export interface Member {
  name: string;
  type: string;
  required: boolean;
  description: string;
  members: Member[];
}

/** What a schema's reference points to; null and an empty list, which only stand for "not given", are left out. */
export function resolve(document: OpenApi, schema: Schema): Schema {
  const name = schema.$ref?.split("/").pop();
  const named = name === undefined ? undefined : document.components.schemas[name];
  if (named) return resolve(document, { ...named, ...(schema.description && { description: schema.description }) });
  const some = schema.anyOf?.filter((one) => one.type !== "null" && one.maxItems !== 0);
  if (some?.length !== 1 || !some[0]) return schema;
  const { anyOf: _, ...rest } = schema;
  return resolve(document, { ...some[0], ...rest });
}

/** A type in a few words: `string (uuid)`, `list of Stream`, `enabled | disabled`. */
export function typeOf(document: OpenApi, given: Schema): string {
  const schema = resolve(document, given);
  const words = schema.enum ?? schema.oneOf?.map((one) => one.const);
  if (words?.every((word) => word !== undefined)) return words.join(" | ");
  const type = [schema.type ?? []].flat().filter((one) => one !== "null").join(" or ");
  if (schema.items) return `list of ${typeOf(document, schema.items)}`;
  if (typeof schema.additionalProperties === "object") return `map of ${typeOf(document, schema.additionalProperties)}`;
  return [type || "anything", limits(schema)].filter(Boolean).join(" ");
}

function limits(schema: Schema): string {
  const { minimum, maximum, minLength, maxLength, format } = schema;
  if (minimum !== undefined && maximum !== undefined) return `from ${minimum} to ${maximum}`;
  if (minLength !== undefined && maxLength !== undefined) return `of ${minLength} to ${maxLength} characters`;
  if (maxLength !== undefined) return `of at most ${maxLength} characters`;
  return format && /^(uuid|uri|ipv4)$/.test(format) ? `(${format})` : "";
}

/** The members of an object, or of the items of a list. Depth is bounded: a schema may hold itself. */
export function membersOf(document: OpenApi, given: Schema, depth = 5): Member[] {
  const schema = resolve(document, given);
  if (schema.items) return membersOf(document, schema.items, depth);
  if (depth === 0) return [];
  return Object.entries(schema.properties ?? {}).map(([name, member]) => ({
    name,
    type: typeOf(document, member),
    required: schema.required?.includes(name) ?? false,
    description: describe(resolve(document, member)),
    members: membersOf(document, member, depth - 1),
  }));
}

function describe(schema: Schema): string {
  const usual = schema.default === undefined || schema.default === null || typeof schema.default === "object";
  return [schema.description, usual ? "" : `Default: ${String(schema.default) || "empty"}.`].filter(Boolean).join(" ");
}

/** A value that fits. */
export function exampleOf(document: OpenApi, given: Schema): unknown {
  const schema = resolve(document, given);
  if (schema.examples?.length) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  const words = schema.enum ?? schema.oneOf?.map((one) => one.const);
  if (words?.length) return words[0];
  if (schema.items) return [exampleOf(document, schema.items)];
  const type = [schema.type ?? []].flat()[0];
  if (type === "object") {
    const members = Object.entries(schema.properties ?? {}).filter(([name]) => schema.required?.includes(name));
    return Object.fromEntries(members.map(([name, member]) => [name, exampleOf(document, member)]));
  }
  if (type === "boolean") return true;
  if (type === "integer") return schema.minimum ?? 1;
  return schema.format === "uuid" ? "8b732909-0a06-46a2-8ea8-074e64d43422" : "text";
}
