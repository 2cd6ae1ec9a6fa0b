// Codecs that a session asks for, and what becomes of those who do not have them, with the
// unmodified official client.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { useCall } from "./support/call.mjs";
import { eventually } from "./support/parlor.mjs";

const { createSession, createSessionWith, join } = useCall();

/** A page that publishes and one that watches it. */
async function pair(sessionId, publishing = {}, subscriber = {}) {
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben", "publisher", subscriber);
  const stream = await ana.publish(publishing);
  await ben.subscribe(stream);
  return { ana, ben, stream };
}

describe("a session that names its codecs", () => {
  for (const codecs of ["h264", "vp9,vp8", "av1", "vp8"]) {
    test(`is in the first of ${codecs}`, async () => {
      const sessionId = await createSessionWith({ videoCodecs: codecs });
      const { ben, stream } = await pair(sessionId);
      await ben.flowing(stream);
      const first = codecs.split(",")[0].toUpperCase();
      assert.deepEqual(await ben.call("videoCodecs"), [`video/${first}`]);
    });
  }

  test("has the last word about what an application prefers", async () => {
    const sessionId = await createSessionWith({ videoCodecs: "h264" });
    const { ben, stream } = await pair(sessionId, { preferredVideoCodecs: ["vp9"] });
    await ben.flowing(stream);
    assert.deepEqual(await ben.call("videoCodecs"), ["video/H264"]);
  });

  test("is heard by a subscriber that cannot decode it, and its page learns why", async () => {
    const sessionId = await createSessionWith({ videoCodecs: "vp9" });
    const refusing = { without: "VP9" };
    const { ben, stream } = await pair(sessionId, {}, refusing);
    await ben.event("videoDisabled", { id: stream, reason: "codecNotSupported" });
    await ben.flowing(stream, ["audio"]);
    assert.equal((await ben.call("received", stream)).videoPackets, 0);
  });
});

test("a publisher without scalable video sends one size, another several", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  await ana.publish({ resolution: "1280x720", scalableVideo: false });
  await ben.publish({ resolution: "1280x720" });
  const layers = (page) => page.call("videoLayers");
  assert.equal(await layers(ana), 1);
  assert.equal(await layers(ben), 3);
});

test("stereo arrives as stereo, and only where it was asked for", async () => {
  for (const enableStereo of [true, false]) {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const error = await ana.call("publishTone", { enableStereo });
    assert.equal(error, null);
    const stream = await ana.call("streamId");
    await ben.subscribe(stream);
    await ben.flowing(stream, ["audio"]);
    // The left channel has a tone, the right one nothing.
    await eventually(`a tone on the left, stereo ${enableStereo}`, async () => {
      const { left, right } = await ben.call("loudness", stream);
      return left > 0.05 && (enableStereo ? right < left / 10 : right > left / 2);
    });
  }
});

test("pauses of speech are not sent where an application wants that", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  assert.equal(await ana.call("publishTone", { enableDtx: true, silent: true }), null);
  const ben = await join(sessionId, "ben");
  const stream = await ana.call("streamId");
  await ben.subscribe(stream);
  // Silence needs a packet every 400 ms, sound one every 20 ms.
  await eventually("few packets", async () => {
    const before = await ben.call("received", stream);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const now = await ben.call("received", stream);
    const packets = now.audioPackets - before.audioPackets;
    return packets > 0 && packets < 25;
  });
});
