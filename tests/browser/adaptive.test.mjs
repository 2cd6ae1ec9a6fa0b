// Adaptive sessions with the unmodified official client: a stream with one viewer goes from browser
// to browser, any other through the server, and nobody sees it move.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { useCall } from "./support/call.mjs";
import { eventually } from "./support/parlor.mjs";

const call = useCall();
const { join } = call;

/** Longest time a picture may stand still, also while the stream moves. */
const STILL_MS = 1_500;

/** Creates an adaptive session as SDKs did before they turned the word into "relayed". */
async function createAdaptiveSession({ url, api_key, api_secret } = call.parlor) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: api_key, ist: "project", iat: now, exp: now + 300 };
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  const signature = createHmac("sha256", api_secret).update(body).digest("base64url");
  const response = await fetch(`${url}/session/create`, {
    method: "POST",
    headers: { "x-opentok-auth": `${body}.${signature}`, accept: "application/json" },
    body: new URLSearchParams({ "p2p.preference": "adaptive" }),
  });
  assert.equal(response.status, 200);
  const [{ session_id }] = await response.json();
  return session_id;
}

/** From now on, keeps the longest time for which the last picture on a page stands still. */
async function watch(participant, streamId) {
  await participant.flowing(streamId, ["video"]);
  await participant.page.evaluate(() => {
    const context = new OffscreenCanvas(32, 24).getContext("2d", { willReadFrequently: true });
    const still = { longest: 0, since: performance.now() };
    let before;
    const look = () => {
      const video = [...document.querySelectorAll("video")].at(-1);
      if (video?.videoWidth) context.drawImage(video, 0, 0, 32, 24);
      const picture = context.getImageData(0, 0, 32, 24).data.join();
      const now = performance.now();
      still.longest = Math.max(still.longest, now - still.since);
      if (picture !== before) still.since = now;
      before = picture;
    };
    globalThis.still = still;
    setInterval(look, 40);
  });
}

const stoodStill = (participant) => participant.page.evaluate(() => globalThis.still.longest);

/** Waits until a page has a connected leg that does not end at the server. */
const goesDirect = (participant) =>
  eventually(
    "media from browser to browser",
    async () => {
      const paths = await participant.call("paths");
      // To the server there may be a way over TCP for a moment.
      return paths.some(({ remote }) => remote.protocol === "udp" && remote.port !== call.parlor.media_port);
    },
    30_000,
  );

/** Waits until all connected legs of a page end at the server. */
const goesThroughServer = (participant) =>
  eventually("media through the server only", async () => {
    const ports = await participant.remotePorts();
    return ports.length > 0 && ports.every((port) => port === call.parlor.media_port);
  });

/** Nothing but the picture may tell an application that a stream has moved. */
async function noticedNothing(participants) {
  for (const participant of participants) {
    const events = await participant.events();
    const told = events.filter(({ type }) => /Destroyed|destroyed|disconnected|videoDisabled/.test(type));
    assert.deepEqual(told, []);
  }
}

describe("an adaptive session", () => {
  test("moves streams to direct legs and back, and nobody notices", async () => {
    const sessionId = await createAdaptiveSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const [anas, bens] = [await ana.publish(), await ben.publish()];
    await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
    await Promise.all([goesThroughServer(ana), goesThroughServer(ben)]);
    await Promise.all([watch(ana, bens), watch(ben, anas)]);

    await Promise.all([goesDirect(ana), goesDirect(ben)]);
    // Publishers go on sending to the server for 5 s; what moves after that has come directly.
    await sleep(7_000);
    await Promise.all([ana.flowing(bens), ben.flowing(anas)]);

    const cleo = await join(sessionId, "cleo", "subscriber");
    await cleo.subscribe(bens);
    await cleo.subscribe(anas);
    await watch(cleo, anas);
    await Promise.all([ana, ben, cleo].map(goesThroughServer));
    await Promise.all([ana.flowing(bens), ben.flowing(anas), cleo.flowing(bens), cleo.flowing(anas)]);

    for (const each of [ana, ben, cleo]) {
      const longest = await stoodStill(each);
      assert.ok(longest < STILL_MS, `the picture stood still for ${Math.round(longest)} ms`);
      const created = (await each.events("streamCreated")).map(({ id }) => id);
      assert.equal(created.length, new Set(created).size, "each stream was created once");
    }
    await noticedNothing([ana, ben, cleo]);
  });

  test("stays with the server when the browsers cannot reach each other", async () => {
    const sessionId = await createAdaptiveSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    for (const { page } of [ana, ben]) {
      // The server's candidates are in its descriptions; those of browsers come one by one.
      await page.evaluate(() => (RTCPeerConnection.prototype.addIceCandidate = async () => {}));
    }
    const stream = await ana.publish();
    await ben.subscribe(stream);
    await watch(ben, stream);
    const legs = (state) => (participant) =>
      eventually(`a second leg, ${state}`, () =>
        participant.page.evaluate((state) => globalThis.peers.filter((peer) => peer.connectionState === state).length, state),
      );
    await Promise.all([ana, ben].map(legs("new")));
    await Promise.all([ana, ben].map(legs("closed")));
    await sleep(7_000);
    await ben.flowing(stream);
    const longest = await stoodStill(ben);
    assert.ok(longest < STILL_MS, `the picture stood still for ${Math.round(longest)} ms`);
    await goesThroughServer(ben);
    await noticedNothing([ana, ben]);
  });

  test("serves whoever comes after the only viewer of a direct leg has left", async () => {
    const sessionId = await createAdaptiveSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish();
    await ben.subscribe(stream);
    await ben.flowing(stream);
    await goesDirect(ana);
    await sleep(7_000);

    await ben.call("unsubscribe", stream);
    await goesThroughServer(ana);
    const cleo = await join(sessionId, "cleo", "subscriber");
    await cleo.subscribe(stream);
    await cleo.flowing(stream);
    assert.deepEqual(await ana.events("publisherStreamDestroyed"), []);
  });
});
