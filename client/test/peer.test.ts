import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { Peer } from "../src/peer.js";

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

test("messages carry the names of the leg", async () => {
  const { peer, sent } = setup();
  peer.offer();
  await settled();
  assert.deepEqual(sent, [{ method: "offer", peerId: "p", sourceStreamId: "MANTIS", type: "offer", sdp: "local offer 1" }]);
});

test("candidates wait for the description they belong to", async () => {
  const { peer, browser } = setup();
  peer.handleCandidate({ candidate: "candidate:1", sdpMid: "0", sdpMLineIndex: 0 });
  await settled();
  assert.deepEqual(browser.log, []);
  peer.handleOffer("remote");
  peer.handleCandidate({ candidate: "candidate:2", sdpMid: "0" });
  await settled();
  assert.deepEqual(browser.log, ["remote offer", "candidate:1", "local answer", "candidate:2"]);
});

test("a candidate that the browser refuses does not stop the others", async () => {
  const { peer, browser, told } = setup();
  peer.handleOffer("remote");
  browser.refuse = "candidate:bad";
  peer.handleCandidate({ candidate: "candidate:bad" });
  peer.handleCandidate({ candidate: 5 });
  peer.handleCandidate({ candidate: "candidate:good" });
  await settled();
  assert.equal(browser.log.at(-1), "candidate:good");
  assert.deepEqual(told, []);
});

test("there is one offer at a time; more become one more after the answer", async () => {
  const { peer, sent } = setup();
  peer.offer();
  peer.offer();
  peer.offer(true);
  await settled();
  assert.equal(sent.length, 1);
  peer.handleAnswer("remote");
  await settled();
  assert.deepEqual(sent.map(({ sdp }) => sdp), ["local offer 1", "local restart offer 2"]);
});

test("an answer that nobody asked for is ignored", async () => {
  const { peer, browser, told } = setup();
  peer.handleAnswer("remote");
  await settled();
  assert.deepEqual([browser.log, told], [[], []]);
});

test("ICE that was lost is restarted at once, and has ten seconds to come back", async () => {
  const { browser, sent, told } = setup();
  browser.ice("connected");
  browser.ice("disconnected");
  await settled();
  assert.deepEqual(sent.map(({ sdp }) => sdp), ["local restart offer 1"]);
  mock.timers.tick(9_999);
  assert.deepEqual(told, ["connected", "disconnected"]);
  mock.timers.tick(1);
  assert.deepEqual(told, ["connected", "disconnected", "failed"]);
});

test("connected and completed are one piece of news, and so are disconnected and failed", async () => {
  const { browser, told } = setup();
  for (const state of ["checking", "failed", "connected", "completed", "disconnected", "failed", "completed", "failed"]) {
    browser.ice(state);
  }
  await settled();
  assert.deepEqual(told, ["connected", "disconnected", "connected", "disconnected"]);
});

test("ICE that came back in time is no failure", async () => {
  const { peer, browser, told } = setup();
  browser.ice("connected");
  browser.ice("disconnected");
  await settled();
  peer.handleAnswer("remote");
  await settled();
  browser.ice("connected");
  mock.timers.tick(60_000);
  assert.deepEqual(told, ["connected", "disconnected", "connected"]);
});

test("without a websocket the restart waits until it is back", async () => {
  const all = setup();
  const { peer, browser, sent, told } = all;
  browser.ice("connected");
  all.up = false;
  browser.ice("disconnected");
  browser.ice("failed");
  await settled();
  mock.timers.tick(20_000);
  assert.deepEqual([sent, told], [[], ["connected", "disconnected"]]);
  all.up = true;
  peer.handleSignalingResumed();
  await settled();
  assert.deepEqual(sent.map(({ sdp }) => sdp), ["local restart offer 1"]);
});

test("a resume while ICE is fine restarts nothing", async () => {
  const { peer, browser, sent } = setup();
  browser.ice("connected");
  peer.handleSignalingResumed();
  await settled();
  assert.deepEqual(sent, []);
});

test("where the publisher restarts, the subscriber waits for its offer", async () => {
  const { browser, sent, told } = setup(false);
  browser.ice("connected");
  browser.ice("disconnected");
  await settled();
  assert.deepEqual(sent, []);
  mock.timers.tick(10_000);
  assert.equal(told.at(-1), "failed");
});

test("when both sides offer we give way, and restart afterwards if that is still needed", async () => {
  const { peer, browser, sent } = setup();
  browser.ice("connected");
  browser.ice("disconnected");
  await settled();
  peer.handleOffer("theirs");
  await settled();
  assert.deepEqual(sent.map(({ sdp }) => sdp), ["local restart offer 1", "local answer", "local restart offer 2"]);
});

test("a description that the browser refuses is a failure", async () => {
  const { peer, browser, told } = setup();
  browser.refuse = "garbage";
  peer.handleOffer("garbage");
  await settled();
  assert.deepEqual(told, ["failed"]);
});

test("a closed peer says nothing more", async () => {
  const { peer, browser, sent, told } = setup();
  browser.ice("connected");
  browser.ice("disconnected");
  peer.close();
  await settled();
  mock.timers.tick(60_000);
  assert.deepEqual([sent, told], [[], ["connected", "disconnected"]]);
});

/** The browser's half, as far as negotiation goes. */
class FakeConnection {
  readonly log: string[] = [];
  refuse = "";
  iceConnectionState = "new";
  localDescription: { type: string; sdp: string } | null = null;
  remoteDescription: { type: string; sdp: string } | null = null;
  oniceconnectionstatechange: (() => void) | null = null;
  #offers = 0;

  createOffer({ iceRestart }: { iceRestart: boolean }): Promise<object> {
    this.#offers += 1;
    return Promise.resolve({ type: "offer", sdp: `local ${iceRestart ? "restart " : ""}offer ${this.#offers}` });
  }

  async setLocalDescription(description = { type: "answer", sdp: "local answer" }): Promise<void> {
    this.log.push(`local ${description.type}`);
    this.localDescription = description;
  }

  async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    if (description.sdp === this.refuse) throw new Error("refused");
    this.log.push(`remote ${description.type}`);
    this.remoteDescription = description;
  }

  async addIceCandidate({ candidate }: { candidate: string }): Promise<void> {
    if (candidate === this.refuse) throw new Error("refused");
    this.log.push(candidate);
  }

  close(): void {}

  ice(state: string): void {
    this.iceConnectionState = state;
    this.oniceconnectionstatechange?.();
  }
}

function setup(mayRestart = true) {
  const sent: Record<string, unknown>[] = [];
  const told: string[] = [];
  (globalThis as { RTCPeerConnection?: unknown }).RTCPeerConnection = FakeConnection;
  const all = { up: true, sent, told };
  const peer = new Peer(
    { configuration: {}, peerId: "p", sourceStreamId: "MANTIS", mayRestart },
    {
      send: (method, content) => void sent.push({ method, ...content }),
      signalingUp: () => all.up,
      connected: () => void told.push("connected"),
      disconnected: () => void told.push("disconnected"),
      failed: () => void told.push("failed"),
    },
  );
  return Object.assign(all, { peer, browser: peer.connection as unknown as FakeConnection });
}
