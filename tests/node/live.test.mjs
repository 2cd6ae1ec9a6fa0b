// What a back end does in a live session with the official Node SDK, and what its clients see of it.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { promisify } from "node:util";

import OpenTok from "opentok";

import { startParlor } from "../browser/support/parlor.mjs";
import { Participant } from "./participant.mjs";

let parlor, opentok, sessionId;
const participants = [];

before(async () => {
  parlor = await startParlor();
  opentok = new OpenTok(parlor.api_key, parlor.api_secret, parlor.url);
});

// Relayed, where a stream is there as soon as it is published: these clients send no media.
beforeEach(async () => ({ sessionId } = await sdk("createSession", { mediaMode: "relayed" })));

afterEach(() => participants.splice(0).forEach((participant) => participant.leave()));

after(async () => {
  const how = await parlor?.stop();
  assert.deepEqual(how, { code: 0, signal: null }, "SIGTERM ends the server cleanly");
});

/** Calls a method of the SDK. */
const sdk = (method, ...args) => promisify(opentok[method].bind(opentok))(...args);

async function join(options) {
  const participant = await Participant.join(parlor, sessionId, opentok.generateToken(sessionId, options));
  participants.push(participant);
  return participant;
}

describe("signals", () => {
  test("to everybody", async () => {
    const [ana, ben] = [await join(), await join()];
    await sdk("signal", sessionId, null, { type: "chat", data: "hello" });
    for (const each of [ana, ben]) {
      const { from, content } = await each.event("signal", "/signal/");
      assert.deepEqual({ from, content }, { from: "", content: { type: "chat", data: "hello" } });
    }
  });

  test("to one", async () => {
    const [ana, ben] = [await join(), await join()];
    await sdk("signal", sessionId, ben.id, { data: "for ben" });
    await sdk("signal", sessionId, null, { data: "for all" });
    assert.deepEqual((await ben.event("signal", `/connection/${ben.id}/`)).content, { data: "for ben" });
    await ana.event("signal", "/signal/");
    assert.equal(ana.events.filter(({ method }) => method === "signal").length, 0);
  });

  test("to nobody are the SDK's SignalError", async () => {
    const refused = { name: "Error", message: /Session or Connection not found/ };
    await assert.rejects(sdk("signal", sessionId, null, { data: "x" }), refused);
    await join();
    await assert.rejects(sdk("signal", sessionId, randomUUID(), { data: "x" }), refused);
  });

  test("without data, or too long, are refused with a reason", async () => {
    await join();
    await assert.rejects(sdk("signal", sessionId, null, { type: "x" }), /'data' must be set/);
    await assert.rejects(sdk("signal", sessionId, null, { data: "x".repeat(8193) }), /data is too long/);
  });
});

describe("moderation", () => {
  test("forceDisconnect", async () => {
    const [ana, ben] = [await join(), await join()];
    await sdk("forceDisconnect", sessionId, ana.id);
    for (const each of [ana, ben]) {
      const { reason } = await each.event("deleted", `/connection/${ana.id}`);
      assert.equal(reason, "forceDisconnected");
    }
    await assert.rejects(sdk("forceDisconnect", sessionId, ana.id), /Session or Connection not found/);
  });

  test("forceMuteStream", async () => {
    const ana = await join();
    const stream = await ana.publish("cam");
    await sdk("forceMuteStream", sessionId, stream);
    const { content } = await ana.event("update", `/stream/${stream}`);
    assert.deepEqual(content, { reason: "mute", channels: ["audio"], active: true, locked: false });
    await assert.rejects(sdk("forceMuteStream", sessionId, randomUUID()));
  });

  test("forceMuteAll, with exclusions in the SDK's own spelling, and disableForceMute", async () => {
    const ana = await join();
    const loud = await ana.publish("loud");
    const quiet = await ana.publish("quiet");
    const isForAll = () => ana.events.findIndex(({ method, path }) => method === "update" && path === "");
    await sdk("forceMuteAll", sessionId, { excudedStreamIds: [loud] });
    await ana.event("update", `/stream/${quiet}`);
    assert.equal(ana.events.splice(isForAll(), 1)[0].content.active, true);
    assert.ok(!ana.events.some(({ method, path }) => method === "update" && path === `/stream/${loud}`));
    assert.deepEqual((await join()).state.mute, { active: true });

    await sdk("disableForceMute", sessionId);
    assert.equal((await ana.event("update", "")).content.active, false);
    assert.equal((await join()).state.mute, undefined);
  });
});

describe("streams", () => {
  test("listStreams and getStream", async () => {
    assert.deepEqual(await sdk("listStreams", sessionId), []);
    const ana = await join({ initialLayoutClassList: ["focus", "full"] });
    const id = await ana.publish("cam");
    const expected = {
      id,
      name: "cam",
      videoType: "camera",
      layoutClassList: ["focus", "full"],
      subscriberCount: 0, // Parlor's own; the SDK passes on what it does not know
    };
    assert.deepEqual((await sdk("listStreams", sessionId)).map((stream) => ({ ...stream })), [expected]);
    assert.deepEqual({ ...(await sdk("getStream", sessionId, id)) }, expected);
    await assert.rejects(sdk("getStream", sessionId, randomUUID()), /not found/i);
  });

  test("setStreamClassLists", async () => {
    const ana = await join();
    const [one, two] = [await ana.publish("one"), await ana.publish("two")];
    await sdk("setStreamClassLists", sessionId, [
      { id: one, layoutClassList: ["left", "big"] },
      { id: two, layoutClassList: [] },
    ]);
    assert.deepEqual((await sdk("getStream", sessionId, one)).layoutClassList, ["left", "big"]);
    const unknown = [{ id: randomUUID(), layoutClassList: ["left"] }];
    await assert.rejects(sdk("setStreamClassLists", sessionId, unknown), /not in the session/);
  });
});

test("what the server does not have yet is refused with a reason, once the request is good", async () => {
  await assert.rejects(sdk("startArchive", sessionId, {}), /relayed, not routed/);
  ({ sessionId } = await sdk("createSession", { mediaMode: "routed" }));
  await assert.rejects(sdk("startArchive", sessionId, {}), /No clients are connected/);
  await join();
  const [id, token] = [randomUUID(), opentok.generateToken(sessionId, { role: "moderator" })];
  const [archiving, broadcasting] = [/Archiving is not supported/, /Broadcasting is not supported/];
  const calls = [
    [archiving, "startArchive", sessionId, { name: "lesson", outputMode: "composed", resolution: "1280x720" }],
    [archiving, "listArchives", { offset: 0, count: 10, sessionId }],
    [archiving, "getArchive", id],
    [archiving, "stopArchive", id],
    [archiving, "deleteArchive", id],
    [archiving, "setArchiveLayout", id, "bestFit", null, "pip"],
    [archiving, "addArchiveStream", id, randomUUID(), {}],
    [archiving, "removeArchiveStream", id, randomUUID()],
    [broadcasting, "startBroadcast", sessionId, { outputs: { hls: {} } }],
    [/undefined/, "listBroadcasts", {}], // the SDK takes every answer for a list
    [broadcasting, "getBroadcast", id],
    [broadcasting, "stopBroadcast", id],
    [broadcasting, "setBroadcastLayout", id, "pip", null, null],
    [broadcasting, "removeBroadcastStream", id, randomUUID()],
    [/SIP is not supported/, "dial", sessionId, token, "sip:a@example.com", {}],
    [/SIP is not supported/, "playDTMF", sessionId, null, "1p#"],
  ];
  for (const [reason, method, ...args] of calls) {
    await assert.rejects(sdk(method, ...args), reason, method);
  }
});
