// What a back end does over REST, as the unmodified official client sees it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { promisify } from "node:util";

import { useCall } from "./support/call.mjs";

const call = useCall();
const { createSession, join } = call;

/** Calls a method of the Node SDK. */
const rest = (method, ...args) => promisify(call.opentok[method].bind(call.opentok))(...args);

describe("a back end", () => {
  test("signals everybody, or one, and the signal is from nobody", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");

    await rest("signal", sessionId, ben.id, { type: "private", data: "to ben" });
    await rest("signal", sessionId, null, { type: "chat", data: "to all" });
    for (const each of [ana, ben]) {
      const { from } = await each.event("signal", { signal: "signal:chat", data: "to all" });
      assert.equal(from, null);
    }
    const { from } = await ben.event("signal", { signal: "signal:private", data: "to ben" });
    assert.equal(from, null);
    assert.equal((await ana.events("signal")).length, 1, "what was for ben came before and only to ben");
  });

  test("disconnects somebody, who learns why, and so do the others", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish();
    await ben.subscribe(stream);

    await rest("forceDisconnect", sessionId, ana.id);
    await ana.event("sessionDisconnected", { reason: "forceDisconnected" });
    await ben.event("streamDestroyed", { id: stream, reason: "forceDisconnected" });
    await ben.event("connectionDestroyed", { id: ana.id, reason: "forceDisconnected" });
  });

  test("mutes one stream and no other", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const anas = await ana.publish();
    const bens = await ben.publish();
    await ben.subscribe(anas);

    await rest("forceMuteStream", sessionId, anas);
    await ana.event("publisher:muteForced");
    await ben.event("streamPropertyChanged", { id: anas, property: "hasAudio", to: false });
    assert.equal(await ben.call("isMuted"), false, `${bens} goes on`);
  });

  test("mutes everybody but those excluded, also those who publish later, until that is lifted", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const anas = await ana.publish();
    const bens = await ben.publish();
    await ben.event("streamCreated", { id: anas });

    await rest("forceMuteAll", sessionId, { excludedStreamIds: [bens] });
    for (const each of [ana, ben]) await each.event("session:muteForced", { active: true });
    await ben.event("streamPropertyChanged", { id: anas, property: "hasAudio", to: false });
    assert.equal(await ben.call("isMuted"), false);

    const late = await join(sessionId, "late");
    await late.publish();
    assert.equal(await late.call("isMuted"), true, "late publishers start muted");

    await rest("disableForceMute", sessionId);
    await late.event("session:muteForced", { active: false });
    const later = await join(sessionId, "later");
    await later.publish();
    assert.equal(await later.call("isMuted"), false);
  });

  test("mutes a session before anybody is there", async () => {
    const sessionId = await createSession();
    await rest("forceMuteAll", sessionId, {});
    const ana = await join(sessionId, "ana");
    await ana.publish();
    assert.equal(await ana.call("isMuted"), true);
  });

  test("sees what is published", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const camera = await ana.publish({ name: "camera" });
    const [stream] = await rest("listStreams", sessionId);
    const expected = { id: camera, name: "camera", videoType: "camera", layoutClassList: [] };
    assert.deepEqual({ ...stream }, { ...expected, subscriberCount: 0 });
    await ana.call("unpublish");
    await ana.event("publisherStreamDestroyed");
    assert.deepEqual(await rest("listStreams", sessionId), []);
  });
});

test("whoever runs the server suspends a project: its pages are put out and let in no more, until it is resumed", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  await call.parlor.command("project", "suspend", call.parlor.api_key);
  await ana.event("sessionDisconnected", { reason: "forceDisconnected" });

  const token = call.opentok.generateToken(sessionId);
  const ben = await call.open(sessionId);
  const error = await ben.call("connect", token);
  assert.deepEqual([error?.name, error?.code], ["OT_AUTHENTICATION_ERROR", 1004]);
  await assert.rejects(rest("signal", sessionId, null, { data: "x" }), /Invalid API key or secret/);

  await call.parlor.command("project", "resume", call.parlor.api_key);
  await join(sessionId, "ben");
});
