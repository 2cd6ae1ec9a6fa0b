// What the page of the REST API makes of the document.

import assert from "node:assert/strict";
import { test } from "node:test";

import { curl } from "../docs/curl";
import { entries, matches, type OpenApi } from "../docs/document";
import { exampleOf, membersOf, typeOf } from "../docs/schema";

const api: OpenApi = {
  info: { title: "", version: "1", description: "" },
  tags: [],
  paths: {
    "/session/create": {
      post: {
        operationId: "sessions.create",
        summary: "Create a session",
        tags: ["Sessions"],
        parameters: [],
        requestBody: {
          content: {
            "application/json": { schema: { $ref: "#/components/schemas/Create" } },
            "application/x-www-form-urlencoded": { schema: { $ref: "#/components/schemas/Create" } },
          },
        },
        responses: {},
        security: [{ project: [] }],
      },
    },
    "/v2/project/{api_key}/render/{id}": {
      delete: { operationId: "renders.stop", summary: "End a render", tags: ["Renders"], parameters: [], responses: {} },
    },
  },
  components: {
    securitySchemes: {},
    schemas: {
      Create: {
        type: "object",
        required: ["mode"],
        properties: {
          mode: { $ref: "#/components/schemas/Mode" },
          layout: {
            anyOf: [{ $ref: "#/components/schemas/Layout" }, { type: "null" }, { type: "array", maxItems: 0 }],
            description: "How.",
          },
          count: { type: ["integer", "null"], minimum: 1, maximum: 5, default: 2 },
        },
      },
      Layout: { type: "object", description: "A layout.", properties: { ids: { type: "array", items: { type: "string", format: "uuid" } } } },
      Mode: { oneOf: [{ type: "string", const: "auto" }, { type: "string", const: "manual" }] },
    },
  },
};

test("types are told in words, and null is left out", () => {
  const create = { $ref: "#/components/schemas/Create" };
  const members = membersOf(api, create);
  assert.deepEqual(
    members.map(({ name, type, required, description }) => [name, type, required, description]),
    [
      ["mode", "auto | manual", true, ""],
      ["layout", "object", false, "How."],
      ["count", "integer from 1 to 5", false, "Default: 2."],
    ],
  );
  assert.equal(members[1]?.members[0]?.type, "list of string (uuid)");
  assert.equal(typeOf(api, {}), "anything");
});

test("an example has what must be given", () => {
  assert.deepEqual(exampleOf(api, { $ref: "#/components/schemas/Create" }), { mode: "auto" });
});

test("a command line signs, fills in names and sends a form where there is one", () => {
  const [create, stop] = entries(api);
  assert.ok(create && stop);
  assert.equal(
    curl(api, "https://example.com", create),
    `curl \\
  -X POST \\
  "https://example.com/session/create" \\
  -H "X-OPENTOK-AUTH: $JWT" \\
  -H "Accept: application/json" \\
  --data-urlencode 'mode=auto'`,
  );
  assert.match(curl(api, "", stop), /"\/v2\/project\/\$API_KEY\/render\/\$ID"$/);
});

test("what is looked for may be anywhere, in any order", () => {
  const [create, stop] = entries(api);
  assert.ok(create && stop);
  assert.ok(matches(create, "") && matches(create, "session POST") && matches(stop, "Renders delete"));
  assert.ok(!matches(create, "session delete"));
});
