// Clients whose network lets no UDP through: media over TCP, on the port of HTTP.

import { test } from "node:test";

import { useCall } from "./support/call.mjs";

const call = useCall({ env: { PARLOR_MEDIA_UDP: "false" } });
const { createSession, join } = call;

/** Waits until a page reaches the server over TCP on each of its peer connections. */
function takesTcp(page, legs) {
  const { port } = new URL(call.parlor.url);
  const view = ({ remote }) => `${remote.protocol} ${remote.candidateType} ${remote.port}`;
  return page.takes(Array(legs).fill(`tcp host ${port}`), view);
}

test("without UDP two see and hear each other over TCP", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const [anas, bens] = [await ana.publish(), await ben.publish()];
  await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
  await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
  await Promise.all([takesTcp(ana, 2), takesTcp(ben, 2)]);

  // A leg that ends takes its connection with it, and the others go on.
  await ana.call("unsubscribe", bens);
  await ben.flowing(anas);
  await Promise.all([takesTcp(ana, 1), takesTcp(ben, 2)]);
});
