// The page that shows the API: everything on it comes from openapi.json.

import { bodyOf, curl } from "./curl";
import { entries, matches, type Entry, type OpenApi } from "./document";
import { membersOf, typeOf, type Member } from "./schema";

type Child = Node | string | undefined | false;

function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string>,
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

function find<E extends HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as E;
}

/** Text with `code` and **strong** words, as descriptions have them. */
function prose(text: string): Node[] {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return make("strong", {}, part.slice(2, -2));
    return document.createTextNode(part);
  });
}

function paragraph(text: string | undefined): Child {
  return text ? make("p", {}, ...prose(text)) : undefined;
}

function memberList(members: Member[]): Child {
  if (members.length === 0) return undefined;
  const items = members.map((member) =>
    make(
      "li",
      {},
      make("code", {}, member.name),
      member.required && make("span", { class: "needed", title: "must be given" }, "*"),
      make("span", { class: "type" }, member.type),
      make("span", {}, ...prose(member.description)),
      memberList(member.members),
    ),
  );
  return make("ul", { class: "members" }, ...items);
}

function section(heading: string, ...children: Child[]): HTMLElement {
  return make("section", {}, make("h4", {}, heading), ...children);
}

function parameters(api: OpenApi, { operation }: Entry): Child {
  if (operation.parameters.length === 0) return undefined;
  const members = operation.parameters.map((parameter) => ({
    name: parameter.name,
    type: `${typeOf(api, parameter.schema)}, in the ${parameter.in}`,
    required: parameter.required ?? false,
    description: parameter.description ?? "",
    members: [],
  }));
  return section("Parameters", memberList(members));
}

function body(api: OpenApi, entry: Entry): Child {
  const given = bodyOf(entry);
  return given && section("Body", make("p", { class: "soft" }, given.types.join(" or ")), memberList(membersOf(api, given.schema)));
}

function answers(api: OpenApi, { operation }: Entry): HTMLElement {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const schema = Object.values(answer.content ?? {})[0]?.schema;
    const good = status.startsWith("2");
    return make(
      "li",
      {},
      make("code", { class: good ? "good" : "bad" }, status),
      make("span", {}, ...prose(answer.description)),
      good && schema && make("span", { class: "type" }, typeOf(api, schema)),
      good && schema && memberList(membersOf(api, schema)),
    );
  });
  return section("Answers", make("ul", { class: "members" }, ...rows));
}

function signedBy({ operation }: Entry): Child {
  const scheme = Object.keys(operation.security?.[0] ?? {})[0];
  return scheme && make("p", { class: "soft" }, `Signed with the secret of ${scheme === "account" ? "an account" : "the project"}.`);
}

/** The details are made when somebody wants to see them. */
function card(api: OpenApi, entry: Entry): HTMLDetailsElement {
  const { method, path, operation } = entry;
  const summary = make(
    "summary",
    {},
    make("span", { class: "method", "data-method": method }, method),
    make("code", { class: "path" }, path),
    make("span", { class: "what" }, ...prose(operation.summary)),
  );
  const details = make("details", { id: operation.operationId, class: operation.deprecated ? "card alias" : "card" }, summary);
  const open = () => {
    if (details.childElementCount > 1) return;
    details.append(
      make(
        "div",
        { class: "inside" },
        paragraph(operation.description),
        signedBy(entry),
        section("Example", make("pre", { tabindex: "0" }, curl(api, location.origin, entry))),
        parameters(api, entry),
        body(api, entry),
        answers(api, entry),
      ),
    );
  };
  details.addEventListener("toggle", open);
  return details;
}

function show(api: OpenApi): void {
  find("version").textContent = api.info.version;
  const schemes = Object.entries(api.components.securitySchemes);
  const introduction = api.info.description.split("\n\n").map(paragraph);
  find("introduction").append(...introduction.filter((it): it is Node => it instanceof Node));
  find("introduction").append(...schemes.map(([name, scheme]) => make("p", {}, make("strong", {}, `${name}: `), ...prose(scheme.description))));

  const all = entries(api);
  const groups = api.tags.map((tag) => {
    const cards = all.filter((entry) => entry.operation.tags.includes(tag.name)).map((entry) => ({ entry, card: card(api, entry) }));
    const anchor = `tag-${tag.name.toLowerCase().replaceAll(" ", "-")}`;
    const group = make("section", { id: anchor, class: "group" }, make("h2", {}, tag.name), make("p", { class: "soft" }, tag.description), ...cards.map(({ card }) => card));
    const link = make("a", { href: `#${anchor}` }, tag.name);
    return { group, link, cards };
  });
  find("groups").append(...groups.map(({ group }) => group));
  find("contents").append(...groups.map(({ link }) => link));

  const search = find<HTMLInputElement>("search");
  const filter = () => {
    let found = 0;
    for (const { group, link, cards } of groups) {
      for (const { entry, card } of cards) card.hidden = !matches(entry, search.value.trim());
      const here = cards.filter(({ card }) => !card.hidden).length;
      group.hidden = link.hidden = here === 0;
      found += here;
    }
    find("found").textContent = `${found} of ${all.length} operations`;
  };
  search.addEventListener("input", filter);
  filter();
  reveal();
}

/** Opens what the address names, whatever was searched for. */
function reveal(): void {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named?.closest("[hidden]")) {
    find<HTMLInputElement>("search").value = "";
    find("search").dispatchEvent(new Event("input"));
  }
  if (named instanceof HTMLDetailsElement) named.open = true;
  named?.scrollIntoView();
}

async function start(): Promise<void> {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
  show((await response.json()) as OpenApi);
}

window.addEventListener("hashchange", reveal);
start().catch((error: unknown) => {
  find("found").textContent = `The document could not be read: ${String(error)}`;
});
