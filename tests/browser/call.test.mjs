// A call with the unmodified official client: join, publish, subscribe, signal, mute, leave.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";

import OpenTok from "opentok";

import { useCall } from "./support/call.mjs";

const call = useCall();
const { createSession, join } = call;

/** A token that the SDK would not make. */
function sign(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${body}.${createHmac("sha256", call.parlor.api_secret).update(body).digest("base64url")}`;
}

describe("two in a call", () => {
  test("see and hear each other", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    await ana.event("connectionCreated", { id: ben.id, data: "ben" });
    await ben.event("connectionCreated", { id: ana.id, data: "ana" });

    const anas = await ana.publish({ name: "Ana's camera" });
    const bens = await ben.publish({ name: "Ben's camera" });
    await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
    const seen = await ben.event("streamCreated", { id: anas });
    assert.equal(seen.name, "Ana's camera");

    const [byAna, byBen] = await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
    assert.ok(byAna.width > 0 && byBen.width > 0);
  });

  test("a publisher without video is heard, one without audio is seen", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const heard = await ana.publish({ videoSource: null });
    const seen = await ben.publish({ audioSource: null });
    await Promise.all([ben.subscribe(heard), ana.subscribe(seen)]);
    await Promise.all([ben.flowing(heard, ["audio"]), ana.flowing(seen, ["video"])]);
  });

  for (const codec of ["VP8", "VP9", "H264", "AV1"]) {
    test(`${codec} passes`, async () => {
      const sessionId = await createSession();
      // What the client puts first in its offer; applications may ask for all of these but AV1.
      const properties = { sessionInfoOverrides: { priorityVideoCodec: codec.toLowerCase() } };
      const ana = await join(sessionId, "ana", "publisher", { properties });
      const ben = await join(sessionId, "ben");
      const stream = await ana.publish();
      await ben.subscribe(stream);
      await ben.flowing(stream);
      assert.deepEqual(await ben.call("videoCodecs"), [`video/${codec}`]);
    });
  }
});

describe("three in a call", () => {
  test("a late joiner sees both streams", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const anas = await ana.publish();
    const bens = await ben.publish();
    await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);

    const cleo = await join(sessionId, "cleo", "subscriber");
    await cleo.subscribe(anas);
    await cleo.subscribe(bens);
    await Promise.all([
      cleo.flowing(anas),
      cleo.flowing(bens),
      ana.flowing(bens),
      ben.flowing(anas),
    ]);
  });

  test("signals reach everybody, or the one they are for, and say who sent them", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const cleo = await join(sessionId, "cleo");
    await ana.event("connectionCreated", { id: cleo.id });
    await ben.event("connectionCreated", { id: ana.id });

    assert.equal(await ana.call("signal", { type: "chat", data: "hello" }), null);
    for (const each of [ana, ben, cleo]) {
      await each.event("signal", { signal: "signal:chat", data: "hello", from: ana.id });
    }
    assert.equal(await ben.call("signal", { type: "wink", data: "psst", to: ana.id }), null);
    await ana.event("signal", { signal: "signal:wink", data: "psst", from: ben.id });

    // A later signal to all arrives behind anything sent before it.
    assert.equal(await ben.call("signal", { data: "done" }), null);
    await cleo.event("signal", { data: "done" });
    assert.deepEqual(
      (await cleo.events("signal")).map((signal) => signal.data),
      ["hello", "done"],
    );
  });
});

describe("what changes during a call", () => {
  test("muting is seen by the other as changed properties, once each", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish();
    await ben.subscribe(stream);
    await ben.flowing(stream);

    await ana.call("publishAudio", false);
    await ben.event("streamPropertyChanged", { id: stream, property: "hasAudio", from: true, to: false });
    await ana.call("publishVideo", false);
    await ben.event("streamPropertyChanged", { id: stream, property: "hasVideo", from: true, to: false });
    await ben.event("videoDisabled", { id: stream, reason: "publishVideo" });

    await ana.call("publishVideo", true);
    await ben.event("videoEnabled", { id: stream, reason: "publishVideo" });
    await ben.flowing(stream, ["video"]);
    const changes = (await ben.events("streamPropertyChanged")).filter((event) =>
      event.property.startsWith("has"),
    );
    assert.deepEqual(
      changes.map(({ property, to }) => [property, to]),
      [
        ["hasAudio", false],
        ["hasVideo", false],
        ["hasVideo", true],
      ],
    );

    const late = await join(sessionId, "cleo");
    const seen = await late.event("streamCreated", { id: stream });
    assert.deepEqual([seen.hasAudio, seen.hasVideo], [false, true]);
  });

  test("a subscriber can stop the video and have it again", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish();
    await ben.subscribe(stream);
    await ben.flowing(stream);
    await ben.call("subscribeToVideo", stream, false);
    await ben.flowing(stream, ["audio"]);
    await ben.call("subscribeToVideo", stream, true);
    await ben.flowing(stream);
  });

  test("unpublish and unsubscribe end a stream for those concerned, and it can start again", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const first = await ana.publish();
    await ben.subscribe(first);
    await ben.call("unsubscribe", first);
    await ben.subscribe(first);
    await ben.flowing(first);

    await ana.call("unpublish");
    await ben.event("streamDestroyed", { id: first, reason: "clientDisconnected" });
    await ana.event("publisherStreamDestroyed");

    const second = await ana.publish();
    await ben.subscribe(second);
    await ben.flowing(second);
  });
});

describe("leaving", () => {
  test("disconnect() is told to the others, streams first", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish();
    await ben.subscribe(stream);
    await ana.call("disconnect");
    await ana.event("sessionDisconnected", { reason: "clientDisconnected" });
    await ben.event("connectionDestroyed", { id: ana.id, reason: "clientDisconnected" });
    const gone = (await ben.events()).filter((event) => event.type.endsWith("Destroyed"));
    assert.deepEqual(
      gone.map(({ type, reason }) => [type, reason]),
      [
        ["streamDestroyed", "clientDisconnected"],
        ["connectionDestroyed", "clientDisconnected"],
      ],
    );
  });

  test("a closed tab counts as leaving", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish();
    await ben.event("streamCreated", { id: stream });
    await ana.page.close({ runBeforeUnload: true });
    await ben.event("streamDestroyed", { id: stream, reason: "clientDisconnected" });
    await ben.event("connectionDestroyed", { id: ana.id, reason: "clientDisconnected" });
  });
});

describe("who may not", () => {
  test("bad tokens are refused with the documented error", async () => {
    const sessionId = await createSession();
    const other = await createSession();
    const stranger = new OpenTok(call.parlor.api_key, "0".repeat(40), call.parlor.url);
    const hourAgo = Math.floor(Date.now() / 1000) - 3600;
    const claims = { iss: call.parlor.api_key, ist: "project", scope: "session.connect", session_id: sessionId };
    const bad = {
      garbage: "T1==bm9uc2Vuc2U=",
      "signed with another secret": stranger.generateToken(sessionId),
      "for another session": call.opentok.generateToken(other),
      expired: sign({ ...claims, role: "publisher", iat: hourAgo, exp: hourAgo + 60 }),
    };
    for (const [what, token] of Object.entries(bad)) {
      const page = await call.open(sessionId);
      const error = await page.call("connect", token);
      assert.equal(error?.name, "OT_AUTHENTICATION_ERROR", what);
      assert.equal(error.code, 1004, what);
    }
  });

  test("an unknown session is refused with the documented error", async () => {
    const sessionId = await createSession();
    const token = call.opentok.generateToken(sessionId);
    const unknown = sessionId.slice(0, -4) + "AAAA";
    const page = await call.open(unknown);
    const error = await page.call("connect", token);
    assert.equal(error?.name, "OT_INVALID_SESSION_ID");
    assert.equal(error.code, 1005);
  });

  test("roles are kept", async () => {
    const sessionId = await createSession();
    const listener = await join(sessionId, "listener", "subscriber");
    const error = await listener.call("publish");
    assert.equal(error?.code, 1500, JSON.stringify(error));
    const refused = await listener.call("signal", { data: "x" });
    assert.equal(refused?.name, "OT_PERMISSION_DENIED", JSON.stringify(refused));
  });
});
