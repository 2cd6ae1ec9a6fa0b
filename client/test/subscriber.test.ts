// What an application hears of a subscriber, with the browser's parts played by fakes.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { SessionContext } from "../src/context.js";
import type { Message, Outgoing } from "../src/messages.js";
import type { Stream } from "../src/model.js";
import { playback } from "../src/playback.js";
import { Subscriber, type SubscriberEvents } from "../src/subscriber.js";

test("being received is told once, and so is every loss and return", async () => {
  const { subscriber, told, browser } = await receiving();
  assert.deepEqual(told, ["connected"]);
  for (const state of ["completed", "disconnected", "failed", "connected"]) browser.ice(state);
  assert.deepEqual(told, ["connected", "disconnected", "connected"]);
  subscriber.handleRemoved("forceUnpublished");
  subscriber.handleRemoved("clientDisconnected");
  assert.deepEqual(told.slice(3), ["destroyed forceUnpublished"]);
});

test("a subscriber that ends before anything came fails, and never was connected", async () => {
  const { subscriber, told, done } = setup();
  subscriber.handleRemoved("networkDisconnected");
  assert.deepEqual(told, ["destroyed networkDisconnected"]);
  assert.deepEqual(done, ["OT_STREAM_DESTROYED"]);
});

test("sound that the browser keeps back is told, and its release by a gesture", async () => {
  const { subscriber, told, browser, video } = await receiving();
  told.length = 0;
  video.blocked = true;
  browser.track("audio");
  await settled();
  assert.equal(subscriber.isAudioBlocked(), true);
  assert.equal(video.muted, true, "the picture runs meanwhile");
  video.blocked = false;
  playback.unblock();
  await settled();
  assert.equal(subscriber.isAudioBlocked(), false);
  assert.equal(video.muted, false);
  assert.deepEqual(told, ["audioBlocked", "audioUnblocked"]);
  subscriber.handleRemoved("clientDisconnected");
});

test("video stops and starts for the reasons of the server, the publisher and the application", async () => {
  const { subscriber, told, sent } = await receiving();
  told.length = 0;
  sent.length = 0;
  subscriber.handleChannel(message("update", { active: false }));
  subscriber.handleChannel(message("updated", { disableWarning: true }));
  subscriber.handleChannel(message("update", { active: true }));
  subscriber.subscribeToVideo(false);
  subscriber.subscribeToVideo(true);
  assert.deepEqual(told, [
    "videoDisabled quality",
    "videoDisableWarning",
    "videoEnabled quality",
    "videoDisabled subscribeToVideo",
    "videoEnabled subscribeToVideo",
  ]);
  assert.deepEqual(sent, [
    { active: false, activeReason: "auto" },
    { active: true, activeReason: "auto" },
    { active: false },
    { active: true },
  ]);
  subscriber.handleRemoved("clientDisconnected");
});

/** The one element a subscriber makes when the application places it itself. */
class FakeVideo extends EventTarget {
  muted = false;
  volume = 1;
  videoWidth = 640;
  srcObject: unknown = null;
  blocked = false;

  play(): Promise<void> {
    if (this.blocked && !this.muted) return Promise.reject(new DOMException("no gesture", "NotAllowedError"));
    return Promise.resolve();
  }

  remove(): void {}
}

class FakeConnection {
  static last: FakeConnection | undefined;
  iceConnectionState = "new";
  remoteDescription: unknown = null;
  localDescription = { type: "answer", sdp: "local" };
  oniceconnectionstatechange: (() => void) | null = null;
  ontrack: ((event: { track: object }) => void) | null = null;

  constructor() {
    FakeConnection.last = this;
  }

  async setRemoteDescription(description: object): Promise<void> {
    this.remoteDescription = description;
  }

  async createOffer(): Promise<object> {
    return { type: "offer", sdp: "restart" };
  }

  async setLocalDescription(): Promise<void> {}

  close(): void {}

  ice(state: string): void {
    this.iceConnectionState = state;
    this.oniceconnectionstatechange?.();
  }

  track(kind: string): void {
    this.ontrack?.({ track: { kind, enabled: true } });
  }
}

class FakeStream {
  readonly #tracks: { kind: string }[] = [];

  addTrack(track: { kind: string }): void {
    this.#tracks.push(track);
  }

  getAudioTracks(): object[] {
    return this.#tracks.filter(({ kind }) => kind === "audio");
  }
}

function message(method: string, content: object): Message {
  return { method, content, uri: "/stream/T/subscriber/W", ids: {}, resource: "subscriber", body: {} } as unknown as Message;
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

function setup() {
  const video = new FakeVideo();
  Object.assign(globalThis, {
    MediaStream: FakeStream,
    RTCPeerConnection: FakeConnection,
    document: { createElement: () => video, addEventListener: () => undefined, removeEventListener: () => undefined },
  });
  const told: string[] = [];
  const sent: object[] = [];
  const done: string[] = [];
  const context = {
    info: { iceServers: [] },
    uris: { subscriber: () => "/stream/T/subscriber/W", subscriberChannel: () => "channel" },
    connectionId: "me",
    request: (_: Outgoing) => Promise.resolve({ ok: true, status: 200, payload: undefined }),
    post: (_method: string, _uri: string, content: object) => void sent.push(content),
    signalingUp: () => true,
  } as unknown as SessionContext;
  const stream = { streamId: "T", hasVideo: true, hasAudio: true } as unknown as Stream;
  const subscriber = new Subscriber(context, stream, undefined, { insertDefaultUI: false }, (error) => {
    done.push(error?.name ?? "done");
  });
  const plain = ["connected", "disconnected", "audioBlocked", "audioUnblocked", "videoDisableWarning"] as const;
  const handlers: { [K in keyof SubscriberEvents]?: (event: SubscriberEvents[K]) => void } = {
    destroyed: ({ reason }) => void told.push(`destroyed ${reason}`),
    videoEnabled: ({ reason }) => void told.push(`videoEnabled ${reason}`),
    videoDisabled: ({ reason }) => void told.push(`videoDisabled ${reason}`),
  };
  for (const type of plain) handlers[type] = () => void told.push(type);
  subscriber.on(handlers as never);
  return { subscriber, told, sent, done, video };
}

/** A subscriber whose first picture is on show. */
async function receiving() {
  const all = setup();
  await all.subscriber.start();
  all.subscriber.handleNegotiation(message("offer", { sdp: "remote", peerId: "p", sourceStreamId: "MANTIS" }));
  await settled();
  const browser = FakeConnection.last!;
  browser.ice("connected");
  await settled();
  return { ...all, browser };
}
