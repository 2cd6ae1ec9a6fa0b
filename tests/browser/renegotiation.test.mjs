// What is negotiated again during a call, with the unmodified official client.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useCall } from "./support/call.mjs";
import { eventually } from "./support/parlor.mjs";

const { createSession, createSessionWith, join } = useCall();

test("a track that is added during a call reaches who subscribed before", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const stream = await ana.publish({ audioSource: null });
  await ben.subscribe(stream);
  await ben.flowing(stream, ["video"]);
  assert.equal(await ben.call("audioPackets"), 0);

  await ana.call("addTone");
  await eventually("sound", async () => (await ben.call("audioPackets")) > 50);
  await ben.flowing(stream, ["video"]);
});

test("ICE restarts on the publisher's leg under the same DTLS association", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const stream = await ana.publish();
  await ben.subscribe(stream);
  await ben.flowing(stream);

  const [before] = await ana.call("transports");
  await ana.call("restartIce");
  const after = await eventually("other credentials", async () => {
    const [now] = await ana.call("transports");
    return now && now.ufrag !== before.ufrag && now;
  });
  assert.equal(after.fingerprint, before.fingerprint);
  await ben.flowing(stream);
});

test("what is encrypted end to end is decrypted by those who know the secret", async () => {
  const sessionId = await createSessionWith({ e2ee: "true" });
  const initOptions = { encryptionSecret: "correct horse battery staple" };
  const ana = await join(sessionId, "ana", "publisher", { initOptions });
  const ben = await join(sessionId, "ben", "publisher", { initOptions });
  const anas = await ana.publish();
  const bens = await ben.publish();
  await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
  await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
});

test("a screen is shared", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  assert.equal(await ana.call("publishDrawing", { videoContentHint: "text" }), null);
  const stream = await ana.call("streamId");
  await ben.subscribe(stream);
  await ben.flowing(stream, ["video"]);
});
