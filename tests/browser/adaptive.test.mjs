// Adaptive sessions with the unmodified official client: a stream with one viewer goes from browser
// to browser, any other through the server, and nobody sees it move.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";

import { useCall } from "./support/call.mjs";
import { eventually } from "./support/parlor.mjs";

const call = useCall();
const { join } = call;

/** Longest time a picture may stand still, also while the stream moves. */
const STILL_MS = 2_500;

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

/** From now on, keeps the longest time for which a page's picture of a stream stands still. */
async function watch(participant, streamId) {
  await participant.flowing(streamId, ["video"]);
  await participant.page.evaluate((streamId) => {
    const state = { longest: 0, changed: performance.now(), hash: null };
    (globalThis.watched ??= {})[streamId] = state;
    const look = async () => {
      const { picture } = await app.received(streamId);
      const now = performance.now();
      state.longest = Math.max(state.longest, now - state.changed);
      if (picture && picture.lit > 50 && picture.hash !== state.hash) {
        state.changed = now;
        state.hash = picture.hash;
      }
      state.timer = setTimeout(look, 50);
    };
    look();
  }, streamId);
}

const stoodStill = (participant, streamId) =>
  participant.page.evaluate((streamId) => globalThis.watched[streamId].longest, streamId);

/** Waits until a page has a connected leg that does not end at the server. */
const goesDirect = (participant) =>
  eventually(
    "media from browser to browser",
    async () => (await participant.call("remotePorts")).some((port) => port !== call.parlor.media_port),
    30_000,
  );

/** Waits until all connected legs of a page end at the server. */
const goesThroughServer = (participant) =>
  eventually("media through the server only", async () => {
    const ports = await participant.call("remotePorts");
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
  test("moves a stream to a direct leg and back, and nobody notices", async () => {
    const sessionId = await createAdaptiveSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish();
    await ben.subscribe(stream);
    await goesThroughServer(ben);
    await watch(ben, stream);

    await Promise.all([goesDirect(ana), goesDirect(ben)]);
    // The publisher goes on sending to the server for 5 s; what moves after that has come directly.
    await new Promise((resolve) => setTimeout(resolve, 7_000));
    await ben.flowing(stream);

    const cleo = await join(sessionId, "cleo");
    await cleo.subscribe(stream);
    await watch(cleo, stream);
    await Promise.all([ana, ben, cleo].map(goesThroughServer));
    await Promise.all([ben.flowing(stream), cleo.flowing(stream)]);

    for (const each of [ben, cleo]) {
      const longest = await stoodStill(each, stream);
      assert.ok(longest < STILL_MS, `the picture stood still for ${Math.round(longest)} ms`);
      assert.equal((await each.events("streamCreated")).filter(({ id }) => id === stream).length, 1);
    }
    await noticedNothing([ana, ben, cleo]);
  });

  test("serves whoever comes after the only viewer of a direct leg has left", async () => {
    const sessionId = await createAdaptiveSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish();
    await ben.subscribe(stream);
    await ben.flowing(stream);
    await goesDirect(ana);
    await new Promise((resolve) => setTimeout(resolve, 7_000));

    await ben.call("unsubscribe", stream);
    await goesThroughServer(ana);
    const cleo = await join(sessionId, "cleo", "subscriber");
    await cleo.subscribe(stream);
    await cleo.flowing(stream);
    assert.deepEqual(await ana.events("publisherStreamDestroyed"), []);
  });
});
