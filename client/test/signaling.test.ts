import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { FrameType } from "../src/rumor.js";
import { Link } from "../src/signaling.js";
import { FakeSocket } from "./fake-server.js";

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
const tick = (ms: number) => mock.timers.tick(ms);

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"] }));
afterEach(() => mock.timers.reset());

test("a fresh socket says who it is, subscribes, and only then sends requests", async () => {
  const { sockets, link, opened } = setup();
  const socket = sockets[0]!;
  void link.request({ method: "create", uri: "/v2/x" }).catch(() => undefined);
  socket.accept();
  await opened;
  assert.deepEqual(
    socket.frames.map(({ type }) => type),
    [FrameType.Connect, FrameType.Subscribe, FrameType.Message],
  );
  assert.equal(socket.frames[0]!.headers.get("uniqueId"), "me");
  assert.equal(socket.frames[0]!.headers.get("notifyDisconnectAddress"), "symphony.test");
  assert.deepEqual(socket.frames[1]!.addresses, ["/topic"]);
  assert.deepEqual(socket.frames[2]!.addresses, ["symphony.test"]);
  assert.equal(socket.frames[2]!.headers.get("X-TB-FROM-ADDRESS"), "me");
  assert.ok(socket.url.searchParams.get("socketId"));
  assert.equal(socket.url.searchParams.get("reconnect"), null);
});

test("a request ends with its own reply, whatever order replies come in", async () => {
  const { socket, link } = await connected();
  const first = link.request({ method: "a", uri: "/v2" });
  const second = link.request({ method: "b", uri: "/v2" });
  const [one, two] = socket.of(FrameType.Message);
  socket.reply(two!, 403, '{"reason":"no"}');
  socket.reply(one!, 200);
  assert.deepEqual(await second, { status: 403, ok: false, payload: { reason: "no" } });
  assert.deepEqual(await first, { status: 200, ok: true, payload: undefined });
});

test("an event that is sent twice is acknowledged twice and delivered once", async () => {
  const { socket, told } = await connected();
  socket.event({ n: 1 }, { id: "t1" });
  socket.event({ n: 1 }, { id: "t1" });
  assert.deepEqual(told, ['message {"n":1}']);
  const acks = socket.of(FrameType.Status);
  assert.equal(acks.length, 2);
  for (const ack of acks) {
    assert.equal(ack.headers.get("TRANSACTION-ID"), "t1");
    assert.equal(ack.headers.has("STATUS"), false);
    assert.deepEqual(ack.addresses, ["symphony.test"]);
  }
});

test("an event without a transaction is delivered and not acknowledged", async () => {
  const { socket, told } = await connected();
  socket.event({ n: 1 });
  assert.deepEqual(told, ['message {"n":1}']);
  assert.equal(socket.of(FrameType.Status).length, 0);
});

test("two seconds without sending make a ping, and sending anything puts it off", async () => {
  const { socket, link } = await connected();
  tick(1_500);
  void link.request({ method: "a", uri: "/v2" }).catch(() => undefined);
  tick(1_999);
  assert.equal(socket.of(FrameType.Ping).length, 0);
  tick(1);
  assert.equal(socket.of(FrameType.Ping).length, 1);
});

test("silence makes the client abandon the socket and resume on another", async () => {
  const { sockets, socket, told } = await connected();
  tick(5_899);
  assert.deepEqual(told, []);
  tick(1);
  assert.deepEqual(told, ["reconnecting"]);
  assert.equal(socket.of(FrameType.Disconnect)[0]!.headers.get("reconnect"), "1");
  assert.equal(socket.closedWith, 4010);
  tick(0);
  const again = sockets[1]!;
  assert.equal(again.url.searchParams.get("socketId"), socket.url.searchParams.get("socketId"));
  assert.equal(again.url.searchParams.get("reconnect"), "true");
  assert.notEqual(again.url.searchParams.get("attempt"), socket.url.searchParams.get("attempt"));
});

test("a resumed socket neither connects nor subscribes, and counts from its first frame", async () => {
  const { sockets, socket, told } = await connected();
  socket.drop();
  tick(0);
  sockets[1]!.accept();
  assert.deepEqual(told, ["reconnecting"]);
  sockets[1]!.pong();
  assert.deepEqual(told, ["reconnecting", "reconnected"]);
  assert.equal(sockets[1]!.of(FrameType.Connect).length, 0);
  assert.equal(sockets[1]!.of(FrameType.Subscribe).length, 0);
});

test("requests without a reply are sent again in order with their transactions", async () => {
  const { sockets, socket, link } = await connected();
  const lost = link.request({ method: "lost", uri: "/v2" });
  socket.drop();
  const queued = link.request({ method: "queued", uri: "/v2" });
  tick(0);
  const again = sockets[1]!;
  again.accept();
  const sent = again.of(FrameType.Message);
  assert.deepEqual(sent.map(({ payload }) => JSON.parse(payload).method), ["lost", "queued"]);
  assert.equal(
    sent[0]!.headers.get("TRANSACTION-ID"),
    socket.of(FrameType.Message)[0]!.headers.get("TRANSACTION-ID"),
  );
  for (const one of sent) again.reply(one, 200);
  assert.equal((await lost).ok, true);
  assert.equal((await queued).ok, true);
});

test("a request that must not be repeated fails with the socket, and at once while there is none", async () => {
  const { socket, link } = await connected();
  const inFlight = link.request({ method: "a", uri: "/v2" }, { retry: false });
  socket.drop();
  await assert.rejects(inFlight, { name: "OT_NOT_CONNECTED", code: 500 });
  await assert.rejects(link.request({ method: "b", uri: "/v2" }, { retry: false }), { code: 500 });
});

test("an event replayed after a resume is not delivered a second time", async () => {
  const { sockets, socket, told } = await connected();
  socket.event({ n: 1 }, { id: "t1" });
  socket.drop();
  tick(0);
  sockets[1]!.accept();
  sockets[1]!.event({ n: 1 }, { id: "t1" });
  sockets[1]!.event({ n: 2 }, { id: "t2" });
  assert.deepEqual(told, ['message {"n":1}', "reconnecting", "reconnected", 'message {"n":2}']);
});

test("a resume that does not get through in time is abandoned before the next one", async () => {
  const { sockets, socket } = await connected();
  socket.drop();
  tick(15_000);
  assert.equal(sockets[1]!.closedWith, 4010);
  tick(100);
  assert.equal(sockets.length, 3);
  sockets[1]!.accept();
  assert.equal(sockets[1]!.frames.length, 0);
});

test("what a replaced socket still brings is ignored", async () => {
  const { sockets, socket, told } = await connected();
  socket.drop();
  tick(0);
  sockets[1]!.accept();
  sockets[1]!.pong();
  socket.event({ n: 1 }, { id: "t1" });
  socket.drop();
  assert.deepEqual(told, ["reconnecting", "reconnected"]);
});

test("refused resumes are tried again ever more slowly, and given up after thirty seconds", async () => {
  const { sockets, socket, told, link } = await connected();
  const request = link.request({ method: "a", uri: "/v2" });
  request.catch(() => undefined);
  socket.drop();
  for (let ms = 0; ms < 29_999; ms += 1) {
    tick(ms === 0 ? 0 : 1);
    const last = sockets.at(-1)!;
    if (last !== socket) last.drop();
  }
  tick(1);
  assert.deepEqual(told, ["reconnecting"]);
  assert.ok(sockets.length > 10 && sockets.length < 30, `${sockets.length} sockets`);
  tick(1);
  assert.deepEqual(told, ["reconnecting", "closed"]);
  await assert.rejects(request, { name: "OT_NOT_CONNECTED" });
  const count = sockets.length;
  tick(60_000);
  assert.equal(sockets.length, count);
});

for (const code of [1003, 1011]) {
  test(`a socket closed with ${code} is not resumed`, async () => {
    const { sockets, socket, told } = await connected();
    socket.drop(code);
    tick(60_000);
    assert.deepEqual(told, ["closed"]);
    assert.equal(sockets.length, 1);
  });
}

test("without resume a lost socket is the end, and nothing is added to the address", async () => {
  const { sockets, socket, told } = await connected(false);
  assert.equal(socket.url.search, "?x=1");
  socket.drop();
  tick(60_000);
  assert.deepEqual(told, ["closed"]);
  assert.equal(sockets.length, 1);
});

test("a first socket that cannot be opened is reported and not resumed", async () => {
  const { sockets, opened } = setup();
  sockets[0]!.drop();
  await assert.rejects(opened, { name: "OT_SOCKET_CLOSE_FALLBACK_CODE", code: 4020 });
  tick(60_000);
  assert.equal(sockets.length, 1);
});

test("a first socket that never opens is given up after fifteen seconds", async () => {
  const { opened } = setup();
  tick(15_000);
  await assert.rejects(opened, { code: 4020 });
});

test("leaving says so, closes, and tells nobody", async () => {
  const { sockets, socket, link, told } = await connected();
  link.close();
  assert.equal(socket.of(FrameType.Disconnect)[0]!.headers.get("reconnect"), "");
  assert.equal(socket.closedWith, 1000);
  socket.drop(1000);
  tick(60_000);
  await settled();
  assert.deepEqual(told, []);
  assert.equal(sockets.length, 1);
});

test("garbage on the socket is ignored", async () => {
  const { socket, told } = await connected();
  socket.onmessage?.({ data: "text" });
  socket.onmessage?.({ data: new ArrayBuffer(3) });
  assert.deepEqual(told, []);
});

function setup(resumable = true) {
  const sockets: FakeSocket[] = [];
  const told: string[] = [];
  const link = new Link(
    {
      url: "ws://server/socket?x=1",
      connectionId: "me",
      symphonyAddress: "symphony.test",
      topic: "/topic",
      resumable,
      openSocket(url) {
        const socket = new FakeSocket(url);
        sockets.push(socket);
        return socket;
      },
    },
    {
      message: (_from, payload) => void told.push(`message ${payload}`),
      reconnecting: () => void told.push("reconnecting"),
      reconnected: () => void told.push("reconnected"),
      closed: () => void told.push("closed"),
    },
  );
  const opened = link.open();
  opened.catch(() => undefined);
  return { sockets, told, link, opened };
}

async function connected(resumable = true) {
  const all = setup(resumable);
  const socket = all.sockets[0]!;
  socket.accept();
  await all.opened;
  socket.frames.length = 0;
  return { ...all, socket };
}
