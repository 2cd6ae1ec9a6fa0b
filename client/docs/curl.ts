// An operation as a command line.

import type { Entry, OpenApi, Schema } from "./document";
import { exampleOf } from "./schema";

const FORM = "application/x-www-form-urlencoded";

/** How one would call an operation of the server at `origin`. */
export function curl(document: OpenApi, origin: string, { method, path, operation }: Entry): string {
  const parts = ["curl"];
  if (method !== "GET") parts.push(`-X ${method}`);
  parts.push(quoted(origin + path.replaceAll(/\{(\w+)\}/g, (_, name: string) => `$${name.toUpperCase()}`)));
  if (operation.security) parts.push(`-H "X-OPENTOK-AUTH: $JWT"`);
  const content = operation.requestBody?.content;
  const form = content?.[FORM]?.schema;
  const json = content?.["application/json"]?.schema;
  if (form) {
    parts.push(`-H "Accept: application/json"`, ...fields(exampleOf(document, form)));
  } else if (json) {
    parts.push(`-H "Content-Type: application/json"`, `-d '${JSON.stringify(exampleOf(document, json))}'`);
  }
  return parts.join(" \\\n  ");
}

/** Double quotes, so that the shell fills in what has a name. */
function quoted(text: string): string {
  return `"${text}"`;
}

function fields(example: unknown): string[] {
  const given = typeof example === "object" && example !== null ? Object.entries(example) : [];
  return given.map(([name, value]) => `--data-urlencode '${name}=${String(value)}'`);
}

/** The media types and the schema of a body. */
export function bodyOf(entry: Entry): { types: string[]; schema: Schema } | undefined {
  const content = Object.entries(entry.operation.requestBody?.content ?? {});
  const first = content[0]?.[1];
  return first && { types: content.map(([type]) => type), schema: first.schema };
}
