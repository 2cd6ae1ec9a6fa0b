// Simulcast with the unmodified official client: a subscriber gets the size that it asks for.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useCall } from "./support/call.mjs";
import { eventually } from "./support/parlor.mjs";

const { createSessionWith, join } = useCall();

/** Waits until the picture's width is as wanted; encoders need some time to grow. */
function width(participant, stream, what, fits) {
  return eventually(
    `a picture ${what}`,
    async () => {
      const { width } = await participant.call("received", stream);
      return fits(width) && width;
    },
    60_000,
  );
}

for (const codecs of ["vp8", "h264,vp8", "vp9,vp8", "av1,vp8"]) {
  test(`the preferred resolution of ${codecs} is what comes, and changes in the call`, async () => {
    const sessionId = await createSessionWith({ videoCodecs: codecs, "p2p.preference": "disabled" });
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish({ resolution: "1280x720", frameRate: 15 });
    await ben.subscribe(stream);

    await width(ben, stream, "at least 960 wide", (width) => width >= 960);
    await ben.call("setPreferredResolution", stream, { width: 320, height: 180 });
    const small = await width(ben, stream, "at most 480 wide", (width) => width <= 480);
    assert.ok(small >= 160, `${small}`);
    await ben.flowing(stream);
    await ben.call("setPreferredResolution", stream, { width: 1280, height: 720 });
    await width(ben, stream, "at least 960 wide again", (width) => width >= 960);
    await ben.flowing(stream);
  });
}

test("the preferred resolution is what comes also where everything is encrypted", async () => {
  const options = { initOptions: { encryptionSecret: "correct horse battery staple" } };
  const sessionId = await createSessionWith({ "p2p.preference": "disabled", e2ee: "true" });
  const ana = await join(sessionId, "ana", "publisher", options);
  const ben = await join(sessionId, "ben", "publisher", options);
  const stream = await ana.publish({ resolution: "1280x720", frameRate: 15 });
  await ben.subscribe(stream);
  await width(ben, stream, "at least 960 wide", (width) => width >= 960);
  await ben.call("setPreferredResolution", stream, { width: 320, height: 180 });
  await width(ben, stream, "at most 480 wide", (width) => width <= 480);
  await ben.flowing(stream);
});

test("the spatial layers of a single stream are chosen from as well", async () => {
  const sessionId = await createSessionWith({ videoCodecs: "vp9", "p2p.preference": "disabled" });
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const stream = await ana.publish({ resolution: "1280x720", frameRate: 15, scalableVideo: false });
  await ben.subscribe(stream);
  await ben.flowing(stream);
  await ana.call("scale", "L3T3");
  await eventually("three spatial layers", async () => {
    const [only] = await ana.call("sending");
    return only.scalabilityMode?.startsWith("L3T3");
  });
  await width(ben, stream, "at least 960 wide", (width) => width >= 960);
  await ben.call("setPreferredResolution", stream, { width: 320, height: 180 });
  await width(ben, stream, "at most 480 wide", (width) => width <= 480);
  await ben.flowing(stream);
  await ben.call("setPreferredResolution", stream, { width: 1280, height: 720 });
  await width(ben, stream, "at least 960 wide again", (width) => width >= 960);
  await ben.flowing(stream);
});

test("layers that nobody watches are not sent until somebody does", async () => {
  const sessionId = await createSessionWith({ "p2p.preference": "disabled" });
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const stream = await ana.publish({ resolution: "1280x720", frameRate: 15 });
  await ben.subscribe(stream);
  await width(ben, stream, "at least 960 wide", (width) => width >= 960);
  await ben.call("setPreferredResolution", stream, { width: 320, height: 180 });
  const active = async () => {
    const layers = await ana.call("sending");
    return layers.filter(({ active }) => active).map(({ rid }) => rid);
  };
  await eventually("only the lowest layer", async () => (await active()).join() === "q", 30_000);
  await ben.flowing(stream);
  await ben.call("setPreferredResolution", stream, { width: 1280, height: 720 });
  await width(ben, stream, "at least 960 wide again", (width) => width >= 960);
  assert.equal((await active()).length, 3);
  await ben.flowing(stream);
});
