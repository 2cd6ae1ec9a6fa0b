// What a back end does in a live session with the official Node SDK, and what its clients see of it.

import assert from "node:assert/strict";
import { createHash, createHmac, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { promisify } from "node:util";

import OpenTok from "opentok";

import { eventually, startParlor } from "../browser/support/parlor.mjs";
import { Participant } from "./participant.mjs";

let parlor, opentok, sessionId;
const participants = [];
const called = new Set();

before(async () => {
  parlor = await startParlor();
  const whole = new OpenTok(parlor.api_key, parlor.api_secret, parlor.url);
  opentok = new Proxy(whole, {
    get(target, name) {
      called.add(name);
      return target[name];
    },
  });
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

describe("callbacks", () => {
  const got = [];
  const receiver = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      got.push({ headers: request.headers, body: Buffer.concat(chunks) });
      response.writeHead(204).end();
    });
  });

  before(() => new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve)));

  after(() => receiver.close());

  /** Checks a webhook as docs/WEBHOOKS.md says, and returns its body. */
  function verified({ headers, body }) {
    const [head, claims, signature] = headers.authorization.replace(/^Bearer /, "").split(".");
    const expected = createHmac("sha256", parlor.api_secret).update(`${head}.${claims}`).digest("base64url");
    assert.equal(signature, expected);
    const { api_key, payload_hash } = JSON.parse(Buffer.from(claims, "base64url"));
    assert.equal(api_key, parlor.api_key);
    assert.equal(payload_hash, createHash("sha256").update(body).digest("hex"));
    return JSON.parse(body);
  }

  test("are registered, called and unregistered", async () => {
    const url = `http://127.0.0.1:${receiver.address().port}/events`;
    const registered = await sdk("registerCallback", { group: "connection", event: "created", url });
    assert.equal(registered.group, "connection");
    const listed = await sdk("listCallbacks");
    assert.deepEqual(listed.map(({ id }) => id), [registered.id]);

    const ana = await join({ data: "Ana" });
    const first = await eventually("a webhook", () => got[0]);
    const { event, sessionId: session, connection } = verified(first);
    assert.deepEqual([event, session, connection.id], ["connectionCreated", sessionId, ana.id]);
    assert.equal(connection.data, "Ana");

    await sdk("unregisterCallback", registered.id);
    assert.deepEqual(await sdk("listCallbacks"), []);
    await assert.rejects(sdk("unregisterCallback", registered.id), /not found/i);
    await assert.rejects(sdk("registerCallback", { group: "moon", event: "rises", url }), /event/);
  });
});

test("what the server does not have yet is refused with a reason, once the request is good", async () => {
  await assert.rejects(sdk("startArchive", sessionId, {}), /relayed, not routed/);
  ({ sessionId } = await sdk("createSession", { mediaMode: "routed" }));
  await assert.rejects(sdk("startArchive", sessionId, {}), /No clients are connected/);
  await join();
  const [id, token] = [randomUUID(), opentok.generateToken(sessionId, { role: "moderator" })];
  const [archiving, broadcasting] = [/Archiving is not supported/, /Broadcasting is not supported/];
  const [rendering, captioning] = [/Experience Composer is not supported/, /Captioning is not supported/];
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
    [broadcasting, "addBroadcastStream", id, randomUUID(), {}],
    [broadcasting, "removeBroadcastStream", id, randomUUID()],
    [/SIP is not supported/, "dial", sessionId, token, "sip:a@example.com", {}],
    [/SIP is not supported/, "playDTMF", sessionId, null, "1p#"],
    [rendering, "startRender", { sessionId, token, url: "https://example.com/page" }],
    [rendering, "getRender", id],
    [rendering, "listRenders", { offset: 0, count: 10 }],
    [rendering, "stopRender", id],
    [/Audio Connector is not supported/, "websocketConnect", sessionId, token, "wss://example.com/ws", {}],
    [captioning, "startCaptions", sessionId, token, {}],
    [captioning, "stopCaptions", id],
  ];
  for (const [reason, method, ...args] of calls) {
    await assert.rejects(sdk(method, ...args), reason, method);
  }
});

test("tones for somebody who is not there are refused", async () => {
  await join();
  await assert.rejects(sdk("playDTMF", sessionId, randomUUID(), "1"), /not found/i);
});

// The last one: what it looks at has to have happened.
test("every method of the SDK has been called", () => {
  const whole = new OpenTok("1", "secret");
  const names = [...Object.keys(whole), ...Object.getOwnPropertyNames(Object.getPrototypeOf(whole))];
  const methods = names.filter((name) => typeof whole[name] === "function");
  assert.ok(methods.includes("createSession") && methods.includes("signal"), `these are the methods: ${methods}`);
  // Signs what the others send.
  const known = new Set([...called, "constructor", "generateJwt"]);
  const missed = methods.filter((name) => !known.has(name));
  assert.deepEqual(missed, []);
});
