// Clients whose network lets no UDP through: media over TCP, on the port of HTTP.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useCall } from "./support/call.mjs";

const call = useCall({ env: { PARLOR_MEDIA_UDP: "false" } });
const { createSession, join } = call;

/** How a page reaches the server on each of its peer connections. */
async function assertAllOverTcp(page, legs) {
  const paths = await page.call("paths");
  const port = Number(new URL(call.parlor.url).port);
  const ends = paths.map(({ remote: { protocol, candidateType, port: at } }) => [protocol, candidateType, at]);
  assert.deepEqual(ends, Array(legs).fill(["tcp", "host", port]));
}

test("without UDP two see and hear each other over TCP", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const [anas, bens] = [await ana.publish(), await ben.publish()];
  await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
  await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
  await Promise.all([assertAllOverTcp(ana, 2), assertAllOverTcp(ben, 2)]);

  // A leg that ends takes its connection with it, and the others go on.
  await ana.call("unsubscribe", bens);
  await ben.flowing(anas);
  await assertAllOverTcp(ben, 2);
});
