import assert from "node:assert/strict";
import { test } from "node:test";

import { parseSessionInfo, throughProxy } from "../src/bootstrap.js";
import { OTError } from "../src/errors.js";
import type { Outgoing } from "../src/messages.js";
import { Session, type SessionEvents } from "../src/session.js";
import type { LinkHandlers, Reply, RequestOptions } from "../src/signaling.js";

const SESSION = "/v2/partner/1127/session/S";
const INFO = JSON.stringify([
  {
    session_id: "S",
    partner_id: "1127",
    messaging_url: "ws://server/socket",
    symphony_address: "symphony.test",
    ice_servers: [{ url: "turn:t", username: "u", credential: "c" }],
    properties: { p2p: { preference: { value: "disabled" } }, reconnection: true, renegotiation: true },
  },
]);

test("joining tells of ourselves, then of who is there, then of what they publish", async () => {
  const world = new World({ connection: [person("ana"), person("me")], stream: [streamOf("ana", "T1")] });
  await world.connect();
  assert.deepEqual(world.told, [
    "connect callback",
    "sessionConnected",
    "connectionCreated ana",
    "connectionCreated me",
    "streamCreated T1",
  ]);
  assert.equal(world.session.connection?.data, "data of me");
  assert.equal(world.session.capabilities.publish, 1);
  assert.equal(world.session.capabilities.forceMute, 0);
});

test("our own connection may also come as an event of its own", async () => {
  const world = new World({ connection: [person("ana")] });
  await world.connect();
  assert.deepEqual(world.told, []);
  world.event("created", `/connection/${world.id}`, person("me"));
  assert.deepEqual(world.told, ["connect callback", "sessionConnected", "connectionCreated ana", "connectionCreated me"]);
});

test("what comes before the reply is told after it", async () => {
  const world = new World({ connection: [person("me")] });
  world.beforeReply = () => world.event("created", "/connection/ben", person("ben"));
  await world.connect();
  assert.deepEqual(world.told.slice(1), ["sessionConnected", "connectionCreated me", "connectionCreated ben"]);
});

test("a stream is held back until its connection is known", async () => {
  const world = await joined();
  world.event("created", "/stream/T1", streamOf("ben", "T1", false));
  assert.deepEqual(world.told, []);
  world.event("created", "/connection/ben", person("ben"));
  assert.deepEqual(world.told, ["connectionCreated ben", "streamCreated T1"]);
});

test("a signal is held back until its sender is known", async () => {
  const world = await joined();
  world.event("signal", "/signal/1", { type: "chat", data: { a: 1 } }, { from: "ben" });
  assert.deepEqual(world.told, []);
  world.event("created", "/connection/ben", person("ben"));
  assert.deepEqual(world.told, ["connectionCreated ben", 'signal signal:chat {"a":1} from ben']);
});

test("a signal of the server is from nobody", async () => {
  const world = await joined();
  world.event("signal", "/signal/1", { data: "x" }, { from: "" });
  assert.deepEqual(world.told, ['signal signal "x" from nobody']);
});

test("a signal reaches the handlers of its type", async () => {
  const world = await joined();
  const chat: unknown[] = [];
  world.session.on("signal:chat", ({ data }: { data: unknown }) => chat.push(data));
  world.event("signal", "/signal/1", { type: "chat", data: "hi" }, { from: "me" });
  world.event("signal", "/signal/2", { type: "other", data: "no" }, { from: "me" });
  assert.deepEqual(chat, ["hi"]);
});

test("whoever leaves takes their streams along, streams first", async () => {
  const world = await joined([person("ana")], [streamOf("ana", "T1")]);
  world.event("deleted", "/connection/ana", {}, { reason: "networkDisconnected" });
  assert.deepEqual(world.told, ["streamDestroyed T1 networkDisconnected", "connectionDestroyed ana networkDisconnected"]);
});

test("a repeated or unknown deletion is no news", async () => {
  const world = await joined([person("ana")], [streamOf("ana", "T1")]);
  world.event("deleted", "/stream/T1", {}, { reason: "clientDisconnected" });
  world.event("deleted", "/stream/T1", {}, { reason: "clientDisconnected" });
  world.event("deleted", "/connection/nobody", {});
  assert.deepEqual(world.told, ["streamDestroyed T1 clientDisconnected"]);
});

test("a channel update is told once per property that really changed", async () => {
  const world = await joined([person("ana")], [streamOf("ana", "T1")]);
  world.event("updated", "/stream/T1/channel/audio1", { active: true });
  world.event("updated", "/stream/T1/channel/audio1", { active: false });
  world.event("updated", "/stream/T1/channel/video1", { width: 1280, height: 720 });
  assert.deepEqual(world.told, ["hasAudio true>false", 'videoDimensions {"width":640,"height":480}>{"width":1280,"height":720}']);
});

test("mute on entry is told before being connected", async () => {
  const world = new World({ connection: [person("me")], mute: { active: true } });
  await world.connect();
  assert.deepEqual(world.told.slice(0, 3), ["muteForced true", "connect callback", "sessionConnected"]);
  world.told.length = 0;
  world.raw({ method: "update", uri: SESSION, reason: "mute", active: false, content: {} });
  assert.deepEqual(world.told, ["muteForced false"]);
});

test("being forced out ends the session with that reason", async () => {
  const world = await joined();
  world.event("deleted", `/connection/${world.id}`, {}, { reason: "forceDisconnected" });
  assert.deepEqual(world.told, ["sessionDisconnected forceDisconnected"]);
  assert.equal(world.closed, 1);
  assert.equal(world.session.currentState, "disconnected");
});

test("an interruption is told, and its end; a lost link ends the session", async () => {
  const world = await joined();
  world.handlers!.reconnecting();
  assert.equal(world.session.currentState, "reconnecting");
  world.handlers!.reconnected();
  assert.equal(world.session.currentState, "connected");
  world.handlers!.closed();
  assert.deepEqual(world.told, ["sessionReconnecting", "sessionReconnected", "sessionDisconnected networkDisconnected"]);
});

test("leaving and joining again with the same object works", async () => {
  const world = await joined();
  world.session.disconnect();
  assert.deepEqual(world.told, ["sessionDisconnected clientDisconnected"]);
  world.told.length = 0;
  await world.connect();
  assert.deepEqual(world.told, ["connect callback", "sessionConnected", "connectionCreated me"]);
});

test("a handler that throws takes nothing from the others", async () => {
  const world = await joined();
  const uncaught: unknown[] = [];
  const keep = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.once("uncaughtException", (error) => uncaught.push(error));
  const seen: string[] = [];
  world.session.on("connectionCreated", () => {
    throw new Error("of the application");
  });
  world.session.on("connectionCreated", ({ connection }) => seen.push(connection.id));
  world.event("created", "/connection/ben", person("ben"));
  await new Promise((resolve) => setImmediate(resolve));
  for (const one of keep) process.on("uncaughtException", one);
  assert.deepEqual(seen, ["ben"]);
  assert.equal((uncaught[0] as Error).message, "of the application");
});

const refusals: [string, number, string, string, number][] = [
  ["connect", 403, "x", "OT_CONNECT_FAILED", 1006],
  ["connect", 409, "connectionLimitExceeded", "OT_CONNECTION_LIMIT_EXCEEDED", 1027],
  ["connect", 404, "x", "OT_UNEXPECTED_SERVER_RESPONSE", 2001],
];
for (const [, status, reason, name, code] of refusals) {
  test(`a connect refused with ${status} ${reason} is ${name} and closes the socket`, async () => {
    const world = new World({});
    world.reply = { status, ok: false, payload: { reason } };
    await world.connect();
    assert.deepEqual(world.told, [`connect callback ${name} ${code} ${reason}`]);
    assert.equal(world.closed, 1);
    assert.equal(world.session.currentState, "disconnected");
  });
}

test("a refused signal says why, by its status", async () => {
  const world = await joined();
  const cases: [number, string, number][] = [
    [400, "OT_INVALID_PARAMETER", 400],
    [403, "OT_PERMISSION_DENIED", 403],
    [404, "OT_NOT_FOUND", 404],
    [413, "OT_INVALID_PARAMETER", 413],
    [429, "OT_UNEXPECTED_SERVER_RESPONSE", 2001],
    [500, "OT_NOT_CONNECTED", 500],
  ];
  for (const [status, name, code] of cases) {
    world.reply = { status, ok: false, payload: { reason: "why" } };
    const error = await new Promise<OTError | undefined>((done) => world.session.signal({ data: "x" }, done));
    assert.deepEqual([error?.name, error?.code, error?.message], [name, code, "why"]);
  }
});

test("a signal that cannot be sent is refused before it travels", async () => {
  const world = await joined();
  const sent = world.sent.length;
  const code = (signal: object) =>
    new Promise((done) => world.session.signal(signal, (error) => done(error?.code)));
  assert.equal(await code({ type: "x".repeat(129) }), 413);
  assert.equal(await code({ type: "a b" }), 400);
  assert.equal(await code({ data: "x".repeat(8_192) }), 413);
  assert.equal(world.sent.length, sent);
});

test("a signal to one goes to that connection", async () => {
  const world = await joined([person("ana")]);
  await new Promise((done) => world.session.signal({ type: "t", data: 1, to: "ana" }, done));
  const { method, uri, content } = world.sent.at(-1)!;
  assert.match(uri, new RegExp(`^${SESSION}/connection/ana/signal/[0-9a-f-]{36}$`));
  assert.deepEqual([method, content], ["signal", { type: "t", data: 1 }]);
});

test("moderation without the permission is refused here and not sent", async () => {
  const world = await joined([person("ana")]);
  const sent = world.sent.length;
  const code = (run: (done: (error?: OTError) => void) => void) => new Promise((done) => run((error) => done(error?.code)));
  assert.equal(await code((done) => world.session.forceDisconnect("ana", done)), 1520);
  assert.equal(await code((done) => world.session.forceUnpublish("T1", done)), 1530);
  await assert.rejects(world.session.forceMuteAll([]), { code: 1540 });
  assert.equal(world.sent.length, sent);
});

test("a moderator's other requests name whom they are about, and their refusal is explained", async () => {
  const boss = new World({ connection: [person("me", ["forcedisconnect", "forceunpublish", "forcemute"])] });
  await boss.connect();
  boss.sent.length = 0;
  const answers: string[] = [];
  const note = (error?: OTError) => void answers.push(error ? `${error.name} ${error.code}` : "done");
  boss.session.forceDisconnect("ana", note);
  boss.session.forceUnpublish("T1", note);
  await new Promise(setImmediate);
  boss.reply = { status: 404, ok: false, payload: { reason: "gone" } };
  boss.session.forceDisconnect("ana", note);
  boss.session.forceUnpublish("T1", note);
  await new Promise(setImmediate);
  assert.deepEqual(boss.sent.slice(0, 2), [
    { method: "delete", uri: `${SESSION}/connection/ana`, content: {} },
    { method: "delete", uri: `${SESSION}/stream/T1`, content: {} },
  ]);
  assert.deepEqual(answers, ["done", "done", "OT_INVALID_PARAMETER 1011", "OT_NOT_FOUND 404"]);
});

test("every reason reaches the application as it is, but for the one that nobody knows", async () => {
  for (const [sent, told] of [
    ["clientDisconnected", "clientDisconnected"],
    ["networkDisconnected", "networkDisconnected"],
    ["networkTimedout", "networkDisconnected"],
    ["forceDisconnected", "forceDisconnected"],
    ["forceUnpublished", "forceUnpublished"],
    ["mediaStopped", "mediaStopped"],
  ] as const) {
    const world = await joined([person("ana")], [streamOf("ana", "T1")]);
    world.event("deleted", "/stream/T1", {}, { reason: sent });
    world.event("deleted", "/connection/ana", {}, { reason: sent });
    world.event("deleted", `/connection/${world.id}`, {}, { reason: sent });
    assert.deepEqual(world.told, [
      `streamDestroyed T1 ${told}`,
      `connectionDestroyed ana ${told}`,
      `sessionDisconnected ${told}`,
    ]);
  }
});

test("a stream that loses one of two ways has not ended", async () => {
  const world = await joined([person("ana")], [streamOf("ana", "T1")]);
  world.event("deleted", "/stream/T1", { sourceStreamId: "P2P" });
  assert.deepEqual(world.told, []);
});

test("a moderator's mute carries its exclusions", async () => {
  const world = new World({ connection: [person("me", ["forcemute"])] });
  await world.connect();
  await world.session.forceMuteAll([{ streamId: "T9" } as never]);
  assert.deepEqual(world.sent.at(-1), {
    method: "update",
    uri: SESSION,
    content: {},
    reason: "mute",
    channels: ["audio"],
    locked: false,
    active: true,
    exclusion: ["T9"],
  });
});

test("session info is read, with its defaults", () => {
  const info = parseSessionInfo(INFO);
  assert.deepEqual(info.iceServers, [{ urls: ["turn:t"], username: "u", credential: "c" }]);
  assert.equal(info.relayed, false);
  assert.equal(info.resumable, true);
  assert.equal(info.simulcastByRid, false);
});

const answers: [string, string, number][] = [
  ["", "OT_EMPTY_RESPONSE_BODY", 1006],
  ["[]", "OT_EMPTY_RESPONSE_BODY", 1006],
  ["<html>", "OT_XDOMAIN_OR_PARSING_ERROR", 2001],
  [refused(400), "OT_INVALID_SESSION_ID", 1005],
  [refused(403), "OT_AUTHENTICATION_ERROR", 1004],
  [refused("404"), "OT_INVALID_SESSION_ID", 1005],
  [refused(409), "OT_TERMS_OF_SERVICE_FAILURE", 1026],
  [refused(999), "OT_UNEXPECTED_ERROR_CODE", 2001],
];
for (const [body, name, code] of answers) {
  test(`the session info ${JSON.stringify(body.slice(0, 30))} is ${name}`, () => {
    assert.throws(() => parseSessionInfo(body), { name, code });
  });
}

test("the original host of a proxied address becomes a part of the path", () => {
  const cases = [
    ["https://anvil.opentok.com", "http://127.0.0.1:9105/px/", "http://127.0.0.1:9105/px/anvil.opentok.com"],
    ["https://api.example:8443/v9?x=1", "http://h:1", "http://h:1/api.example:8443/v9?x=1"],
    ["wss://msg.example/path", "http://h:1", "ws://h:1/msg.example/path"],
    ["ws://msg.example/path", "https://h", "wss://h/msg.example/path"],
    ["wss://msg.example/path", undefined, "wss://msg.example/path"],
  ] as const;
  for (const [original, proxy, result] of cases) assert.equal(throughProxy(original, proxy), result);
});

function refused(code: number | string): string {
  return JSON.stringify([{ error: { code, errorMessage: { message: "m" } } }]);
}

function person(id: string, permissions = ["publish", "subscribe", "signal"]) {
  return { id, creationTime: 1, data: `data of ${id}`, permissions };
}

function streamOf(connection: string, id: string, known = true) {
  return {
    id,
    name: "cam",
    creationTime: 2,
    ...(known ? { connection: person(connection) } : { connectionId: connection }),
    channel: [
      { id: "video1", type: "video", active: true, width: 640, height: 480, source: "camera" },
      { id: "audio1", type: "audio", active: true },
    ],
  };
}

/** A session with a transport that answers at once, and a log of what the application was told. */
class World {
  readonly told: string[] = [];
  readonly sent: Outgoing[] = [];
  readonly session: Session;
  closed = 0;
  id = "";
  handlers: LinkHandlers | undefined;
  reply: Reply | undefined;
  beforeReply: () => void = () => undefined;
  readonly #state: object;

  constructor(state: object) {
    this.#state = { id: "S", connection: [], stream: [], archive: [], ...state };
    this.session = new Session("1127", "S", {
      fetchInfo: () => Promise.resolve(parseSessionInfo(INFO)),
      openLink: (options, handlers) => {
        this.id = options.connectionId;
        this.handlers = handlers;
        return Promise.resolve({
          request: (message: Outgoing, options?: RequestOptions) => this.#answer(message, options),
          close: () => void (this.closed += 1),
        });
      },
    });
    this.#listen();
  }

  connect(): Promise<void> {
    return new Promise((resolve) => {
      this.session.connect("token", (error) => {
        this.told.push(error ? `connect callback ${error.name} ${error.code} ${error.message}` : "connect callback");
      });
      setImmediate(resolve);
    });
  }

  event(method: string, path: string, content: object, { from = "symphony.test", reason }: { from?: string; reason?: string } = {}): void {
    this.raw({ method, uri: SESSION + path, content: this.#mine(content), ...(reason ? { reason } : {}) }, from);
  }

  raw(body: object, from = "symphony.test"): void {
    this.handlers!.message(from === "me" ? this.id : from, JSON.stringify(body));
  }

  async #answer(message: Outgoing, options?: RequestOptions): Promise<Reply> {
    this.sent.push(message);
    await Promise.resolve();
    if (this.reply) return this.reply;
    if (message.method !== "create") return { status: 200, ok: true, payload: undefined };
    assert.equal(options?.headers?.["X-TB-TOKEN-AUTH"], "token");
    this.beforeReply();
    return { status: 200, ok: true, payload: this.#mine(this.#state) };
  }

  /** "me" in an example is the id that the session chose. */
  #mine<T>(value: T): T {
    return JSON.parse(JSON.stringify(value).replaceAll('"id":"me"', `"id":"${this.id}"`)) as T;
  }

  #name(id: string): string {
    return id === this.id ? "me" : id;
  }

  #listen(): void {
    const note = (text: string) => void this.told.push(text);
    const handlers: { [K in keyof SessionEvents]?: (event: SessionEvents[K]) => void } = {
      sessionConnected: () => note("sessionConnected"),
      sessionDisconnected: ({ reason }) => note(`sessionDisconnected ${reason}`),
      sessionReconnecting: () => note("sessionReconnecting"),
      sessionReconnected: () => note("sessionReconnected"),
      connectionCreated: ({ connection }) => note(`connectionCreated ${this.#name(connection.id)}`),
      connectionDestroyed: ({ connection, reason }) => note(`connectionDestroyed ${this.#name(connection.id)} ${reason}`),
      streamCreated: ({ stream }) => note(`streamCreated ${stream.id}`),
      streamDestroyed: ({ stream, reason }) => note(`streamDestroyed ${stream.id} ${reason}`),
      streamPropertyChanged: ({ changedProperty, oldValue, newValue }) =>
        note(`${changedProperty} ${JSON.stringify(oldValue)}>${JSON.stringify(newValue)}`),
      signal: ({ type, data, from }) =>
        note(`signal ${type} ${JSON.stringify(data)} from ${from ? this.#name(from.id) : "nobody"}`),
      muteForced: ({ active }) => note(`muteForced ${active}`),
    };
    this.session.on(handlers as never);
  }
}

async function joined(others: object[] = [], streams: object[] = []): Promise<World> {
  const world = new World({ connection: [...others, person("me")], stream: streams });
  await world.connect();
  world.told.length = 0;
  return world;
}
