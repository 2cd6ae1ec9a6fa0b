import assert from "node:assert/strict";
import { test } from "node:test";

import { uuid } from "../src/uuid.js";

test("a UUID is a random one of version 4, without what only secure pages have", (t) => {
  t.mock.method(crypto, "randomUUID", () => assert.fail("not there on plain HTTP"));
  const all = new Set(Array.from({ length: 100 }, uuid));
  assert.equal(all.size, 100);
  for (const id of all) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
