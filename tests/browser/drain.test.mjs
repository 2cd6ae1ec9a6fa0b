// A call in real browsers while the server is told to end.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useCall } from "./support/call.mjs";
import { eventually } from "./support/parlor.mjs";

const call = useCall({ env: { PARLOR_LIMITS_DRAIN: "10min" } });
const { createSession, join, open } = call;

test("a call goes on through a drain, nobody joins it, and the server ends when it is over", async () => {
  const sessionId = await createSession();
  const [ana, ben] = [await join(sessionId, "ana"), await join(sessionId, "ben")];
  const [anas, bens] = [await ana.publish(), await ben.publish()];
  await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
  await Promise.all([ana.flowing(bens), ben.flowing(anas)]);

  process.kill(call.parlor.pid, "SIGTERM");
  await eventually("the server to drain", async () => (await fetch(`${call.parlor.url}/readyz`)).status === 503);
  await assert.rejects(createSession());
  const late = await open(sessionId);
  const token = call.opentok.generateToken(sessionId);
  assert.match(JSON.stringify(await late.call("connect", token)), /shutting down/);

  await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
  assert.equal(await ana.call("signal", { data: "still here" }), null);
  await ben.event("signal", { data: "still here", from: ana.id });
  assert.deepEqual(await ana.events("sessionDisconnected"), []);

  await Promise.all([ana.call("disconnect"), ben.call("disconnect")]);
  await eventually("the server to end by itself", () => /Nobody is left[^]*Everything is closed/.test(call.parlor.log()));
});
