// Calls between Firefox and Chromium, with the unmodified official client in both. They are here
// because Firefox has no ICE candidates on the loopback interface.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { startFirefox } from "../browser/support/browser.mjs";
import { useCall } from "../browser/support/call.mjs";
import { eventually } from "../browser/support/parlor.mjs";

const call = useCall({ media: "203.0.113.1:0" });
const { createSession, createSessionWith, join, talk } = call;
let firefox;

before(async () => {
  firefox = await startFirefox();
});

after(() => firefox?.close());

/** Ana's browser is Firefox, Ben's is Chromium. */
async function pair(sessionId) {
  const ana = await join(sessionId, "ana", "publisher", { browser: firefox });
  const ben = await join(sessionId, "ben");
  return [ana, ben];
}

describe("Firefox and Chromium", () => {
  test("see and hear each other", async () => {
    const [ana, ben] = await pair(await createSession());
    const { anas, bens } = await talk(ana, ben);
    for (const [page, stream] of [[ana, bens], [ben, anas]]) {
      await eventually("a tone", async () => (await page.call("received", stream)).audioEnergy > 0.01);
    }
    await ana.takes(Array(2).fill(call.parlor.media_port), ({ remote }) => remote.port);
  });

  for (const codec of ["vp8", "vp9", "av1"]) {
    test(`agree on ${codec}`, async () => {
      const [ana, ben] = await pair(await createSessionWith({ videoCodecs: codec }));
      await talk(ana, ben);
      for (const page of [ana, ben]) {
        assert.deepEqual(await page.call("videoCodecs"), [`video/${codec.toUpperCase()}`]);
      }
    });
  }

  test("talk without the server's media in a relayed session", async () => {
    const [ana, ben] = await pair(await createSession({ mediaMode: "relayed" }));
    await talk(ana, ben);
    for (const page of [ana, ben]) {
      assert.ok(!(await page.remotePorts()).includes(call.parlor.media_port));
    }
  });

  test("stay connected when Firefox restarts ICE", async () => {
    const [ana, ben] = await pair(await createSession());
    const { anas } = await talk(ana, ben);
    const before = await ana.call("transports");
    await ana.call("restartIce");
    await eventually("other credentials", async () => {
      const now = await ana.call("transports");
      return now.some(({ ufrag }) => !before.some((old) => old.ufrag === ufrag));
    });
    await ben.flowing(anas);
  });
});

test("Firefox sends its video in three sizes, of which a subscriber gets the one it asks for", async () => {
  const [ana, ben] = await pair(await createSession());
  const stream = await ana.publish({ resolution: "1280x720" });
  assert.equal(await ana.call("videoLayers"), 3);
  await ben.subscribe(stream);
  const wide = async (fits) => fits((await ben.call("received", stream)).width);
  await eventually("the large picture", () => wide((width) => width >= 640), 60_000);
  await ben.call("setPreferredResolution", stream, { width: 320, height: 180 });
  await eventually("the small picture", () => wide((width) => width <= 320), 60_000);
  await ben.flowing(stream);
  await ben.call("setPreferredResolution", stream, { width: 1280, height: 720 });
  await eventually("the large picture again", () => wide((width) => width >= 640), 60_000);
  await ben.flowing(stream);
});

test("Firefox gets the size that it asks for", async () => {
  const [ana, ben] = await pair(await createSession());
  const stream = await ben.publish({ resolution: "1280x720", frameRate: 15 });
  await ana.subscribe(stream);
  const wide = async (fits) => fits((await ana.call("received", stream)).width);
  await eventually("the large picture", () => wide((width) => width >= 960), 60_000);
  await ana.call("setPreferredResolution", stream, { width: 320, height: 180 });
  await eventually("a small picture", () => wide((width) => width <= 480), 60_000);
  await ana.flowing(stream);
});

// Firefox takes an offer of a codec that it lacks and answers without video, so that the client
// cannot tell its page why (`codecNotSupported`).
test("Firefox without H.264 hears a publisher of it, and is heard itself", async () => {
  const [ana, ben] = await pair(await createSessionWith({ videoCodecs: "h264" }));
  const [anas, bens] = [await ana.publish(), await ben.publish()];
  await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
  await Promise.all([ana.flowing(bens, ["audio"]), ben.flowing(anas, ["audio"])]);
  assert.deepEqual(await ana.call("videoCodecs"), []);
});

describe("Firefox and Chromium without UDP", () => {
  const call = useCall({ media: "203.0.113.1:0", http: "203.0.113.1:0", env: { PARLOR_MEDIA_UDP: "false" } });

  test("see and hear each other over TCP", async () => {
    const sessionId = await call.createSession();
    const ana = await call.join(sessionId, "ana", "publisher", { browser: firefox });
    const ben = await call.join(sessionId, "ben");
    await call.talk(ana, ben);
    for (const page of [ana, ben]) {
      await page.takes(Array(2).fill(`tcp ${new URL(call.parlor.url).port}`), ({ remote }) => `${remote.protocol} ${remote.port}`);
    }
  });
});
