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

test("a track that is taken out during a call is missed, and another may take its place", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const stream = await ana.publish();
  await ben.subscribe(stream);
  await ben.flowing(stream);

  await ana.call("removeSound");
  await eventually("silence", async () => {
    const before = await ben.call("audioPackets");
    await ben.flowing(stream, ["video"]);
    return (await ben.call("audioPackets")) === before;
  });
  const before = await ben.call("audioPackets");
  await ana.call("addTone");
  await eventually("sound", async () => (await ben.call("audioPackets")) > before + 50);
  await ben.flowing(stream, ["video"]);
});

test("another codec in the middle of a call reaches who subscribed before", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const stream = await ana.publish();
  await ben.subscribe(stream);
  await ben.flowing(stream);
  assert.deepEqual(await ben.call("videoCodecs"), ["video/VP8"]);

  await ana.call("changeCodec", "VP9");
  await eventually("the other codec", async () => (await ben.call("videoCodecs")).includes("video/VP9"));
  await ben.flowing(stream);
});

test("ICE restarts on a subscriber's leg under the same DTLS association", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben", "subscriber");
  const stream = await ana.publish();
  await ben.subscribe(stream);
  await ben.flowing(stream);

  const [before] = await ben.call("transports");
  await ben.call("restartSubscriber", stream);
  const after = await eventually("other credentials", async () => {
    const [now] = await ben.call("transports");
    return now && now.ufrag !== before.ufrag && now;
  });
  assert.equal(after.fingerprint, before.fingerprint);
  await ben.flowing(stream);
  assert.equal((await ben.events("subscriber:destroyed")).length, 0);
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
