// What this page sends: capture, the legs it is sent on, mute.

import { capture, type CaptureProperties, type Captured } from "./capture.js";
import { RELAYED, ROUTED, rtcConfiguration, type SessionContext } from "./context.js";
import { OTError, asError, refusal, type Completion } from "./errors.js";
import { Emitter } from "./events.js";
import { array, type Json, type Message } from "./messages.js";
import type { Stream } from "./model.js";
import { Peer } from "./peer.js";
import { addTracks, setVideoSending } from "./senders.js";
import { mediaStats, type MediaStats } from "./stats.js";
import { uuid } from "./uuid.js";
import { View, type Target, type ViewProperties } from "./view.js";

/** Time from the request to publish until the stream must be announced. */
const PUBLISH_MS = 15_000;

export interface PublisherProperties extends ViewProperties, CaptureProperties {
  readonly name?: string;
  /** Default true. */
  readonly publishAudio?: boolean;
  readonly publishVideo?: boolean;
  /** Show the picture as in a mirror. Default: for a camera. */
  readonly mirror?: boolean;
  readonly initials?: string;
}

export interface PublisherEvents {
  accessAllowed: object;
  accessDenied: object;
  streamCreated: { readonly stream: Stream };
  streamDestroyed: { readonly stream: Stream; readonly reason: string };
  muteForced: object;
  mediaStopped: { readonly track: MediaStreamTrack };
  videoElementCreated: { readonly element: HTMLVideoElement };
  connected: object;
  disconnected: object;
  destroyed: object;
}

/** One entry of `getStats`: there is one leg in a routed session, one per subscriber in a relayed one. */
export interface PublisherStats {
  readonly subscriberId?: string;
  readonly connectionId?: string;
  readonly stats: MediaStats;
}

interface Leg {
  readonly peer: Peer;
  readonly subscriberId: string | undefined;
  readonly remoteConnectionId: string;
}

/** Being in a session: from the request to publish until the stream is gone. */
interface Publication {
  readonly context: SessionContext;
  readonly streamId: string;
  readonly legs: Map<string, Leg>;
  /** Settles the request to publish. */
  readonly settle: Completion;
  stream: Stream | undefined;
}

export class Publisher extends Emitter<PublisherEvents> {
  readonly id = `OT_${uuid()}`;
  readonly #properties: PublisherProperties;
  readonly #target: Target;
  readonly #ready: Promise<Captured>;
  #captured: Captured | undefined;
  #view: View | undefined;
  #publication: Publication | undefined;
  #audio: boolean;
  #video: boolean;
  #destroyed = false;
  /** Called when the stream must leave the session for a reason found here. Set by the session. */
  onLost: ((reason: string) => void) | undefined;

  constructor(target: Target, properties: PublisherProperties, done?: Completion) {
    super();
    this.#target = target;
    this.#properties = properties;
    this.#audio = properties.publishAudio !== false;
    this.#video = properties.publishVideo !== false;
    this.#ready = this.#capture();
    this.#ready.then(
      () => done?.(),
      (error: unknown) => done?.(asError(error, "OT_UNABLE_TO_CAPTURE_MEDIA", 1500)),
    );
  }

  get stream(): Stream | undefined {
    return this.#publication?.stream;
  }

  get streamId(): string | undefined {
    return this.#publication?.streamId;
  }

  get element(): HTMLElement | undefined {
    return this.#view?.element;
  }

  /** What is captured, for local use: a level meter, a picture. */
  get mediaStream(): MediaStream | undefined {
    return this.#captured?.stream;
  }

  get publishing(): boolean {
    return this.#publication !== undefined;
  }

  get publishesAudio(): boolean {
    return this.#audio;
  }

  get publishesVideo(): boolean {
    return this.#video;
  }

  publishAudio(on: boolean): this {
    this.#setAudio(on);
    return this;
  }

  publishVideo(on: boolean): this {
    if (on === this.#video) return this;
    this.#video = on;
    for (const track of this.#captured?.stream.getVideoTracks() ?? []) track.enabled = on;
    for (const { peer } of this.#publication?.legs.values() ?? []) setVideoSending(peer.connection, on);
    if (this.#captured?.videoType) this.#updateChannel("video1", { active: on });
    return this;
  }

  getAudioSource(): MediaStreamTrack | undefined {
    return this.#captured?.stream.getAudioTracks()[0];
  }

  getVideoSource(): { type: string | null; track: MediaStreamTrack | null } {
    return {
      type: this.#captured?.videoType ?? null,
      track: this.#captured?.stream.getVideoTracks()[0] ?? null,
    };
  }

  getStats(done: (error: OTError | null, stats?: PublisherStats[]) => void): void {
    const legs = [...(this.#publication?.legs.values() ?? [])];
    if (legs.length === 0) {
      done(new OTError("OT_NOT_CONNECTED", 1015, "The publisher is not connected"));
      return;
    }
    Promise.all(
      legs.map(async ({ peer, subscriberId, remoteConnectionId }) => ({
        ...(subscriberId ? { subscriberId, connectionId: remoteConnectionId } : {}),
        stats: mediaStats(await peer.connection.getStats()),
      })),
    ).then(
      (stats) => done(null, stats),
      (error: unknown) => done(asError(error, "OT_GET_STATS_FAILED", 2000)),
    );
  }

  async getRtcStatsReport(): Promise<{ rtcStatsReport: RTCStatsReport }[]> {
    const legs = [...(this.#publication?.legs.values() ?? [])];
    return Promise.all(legs.map(async ({ peer }) => ({ rtcStatsReport: await peer.connection.getStats() })));
  }

  /** Stops capturing and leaves the session. */
  destroy(): this {
    if (this.#destroyed) return this;
    this.#destroyed = true;
    this.onLost?.("clientDisconnected");
    for (const track of this.#captured?.owned ?? []) track.stop();
    this.#view?.remove();
    this.emit("destroyed", {});
    return this;
  }

  // The rest is between the session and its publishers.

  /** Publishes into a session; `done` when the stream is announced. */
  async start(context: SessionContext, streamId: string, muted: boolean, done: Completion): Promise<void> {
    let settled = false;
    const settle: Completion = (error) => {
      if (settled) return;
      settled = true;
      clearTimeout(late);
      if (error) this.onLost?.("clientDisconnected");
      done(error);
    };
    const publication: Publication = { context, streamId, legs: new Map(), settle, stream: undefined };
    this.#publication = publication;
    let late: ReturnType<typeof setTimeout> | undefined;
    try {
      const captured = await this.#ready;
      if (this.#publication !== publication) return;
      if (muted) this.#forceMute();
      late = setTimeout(
        () => settle(new OTError("OT_TIMEOUT", 1500, "The stream was not announced in time")),
        PUBLISH_MS,
      );
      const reply = await context.request({
        method: "create",
        uri: context.uris.stream(streamId),
        content: this.#description(streamId, captured),
      });
      if (!reply.ok) settle(refusal("publish", reply.status, reason(reply.payload)));
    } catch (error) {
      settle(asError(error, "OT_STREAM_CREATE_FAILED", 1500));
    }
  }

  handleAnnounced(stream: Stream): void {
    const publication = this.#publication;
    if (!publication || publication.stream) return;
    publication.stream = stream;
    publication.settle();
    this.emit("streamCreated", { stream });
  }

  handleNegotiation(message: Message, from: string): void {
    const publication = this.#publication;
    if (!publication) return;
    const { method, content, ids } = message;
    if (method === "deleted") {
      this.#closeLegsOf(publication, ids.subscriber ?? "");
      return;
    }
    const peerId = String(content.peerId ?? "");
    const sourceStreamId = String(content.sourceStreamId ?? ROUTED);
    const key = [ids.subscriber ?? from, peerId, sourceStreamId].join(" ");
    let leg = publication.legs.get(key);
    if (!leg) {
      if (method !== "generateoffer") return;
      leg = this.#openLeg(publication, key, message, from, { peerId, sourceStreamId });
    }
    if (method === "generateoffer") leg.peer.offer();
    else if (method === "answer" && typeof content.sdp === "string") leg.peer.handleAnswer(content.sdp);
    else if (method === "candidate") leg.peer.handleCandidate(content);
  }

  /** A moderator muted this stream. */
  handleForcedMute(message: Message): void {
    const channels = array(message.body.channels ?? message.content.channels);
    const active = message.body.active ?? message.content.active;
    if (active === true && (channels.length === 0 || channels.includes("audio"))) this.#forceMute();
  }

  handleSignalingResumed(): void {
    for (const { peer } of this.#publication?.legs.values() ?? []) peer.handleSignalingResumed();
  }

  /** The stream left the session. */
  handleRemoved(reason: string): void {
    const publication = this.#publication;
    if (!publication) return;
    this.#publication = undefined;
    for (const { peer } of publication.legs.values()) peer.close();
    publication.settle(new OTError("OT_STREAM_DESTROYED", 1500, "The stream ended before it was announced"));
    const { stream } = publication;
    if (stream) this.emit("streamDestroyed", { stream, reason }, () => this.destroy());
  }

  async #capture(): Promise<Captured> {
    let captured: Captured;
    try {
      captured = await capture(this.#properties);
    } catch (error) {
      this.emit("accessDenied", {});
      throw error;
    }
    if (this.#destroyed) {
      for (const track of captured.owned) track.stop();
      throw new OTError("OT_PUBLISHER_DESTROYED", 1500, "The publisher was destroyed");
    }
    this.#captured = captured;
    for (const track of captured.stream.getAudioTracks()) track.enabled = this.#audio;
    for (const track of captured.stream.getVideoTracks()) track.enabled = this.#video;
    for (const track of captured.owned) track.onended = () => this.#handleEnded(track);
    this.#show(captured);
    this.emit("accessAllowed", {});
    return captured;
  }

  #show({ stream, videoType }: Captured): void {
    const mirror = this.#properties.mirror ?? videoType === "camera";
    const view = new View(this.#target, this.#properties, { id: this.id, muted: true, mirror });
    this.#view = view;
    view.show(stream);
    view.video.addEventListener("resize", () => {
      const { videoWidth: width, videoHeight: height } = view.video;
      const known = this.stream?.videoDimensions;
      if (known && width > 0 && (known.width !== width || known.height !== height)) {
        this.#updateChannel("video1", { width, height, orientation: 0 });
      }
    });
    this.emit("videoElementCreated", { element: view.video });
  }

  #handleEnded(track: MediaStreamTrack): void {
    this.emit("mediaStopped", { track });
    if (track.kind === "video") this.onLost?.("mediaStopped");
  }

  #setAudio(on: boolean, because: Json = {}): void {
    if (on === this.#audio) return;
    this.#audio = on;
    for (const track of this.#captured?.stream.getAudioTracks() ?? []) track.enabled = on;
    if (this.getAudioSource()) this.#updateChannel("audio1", { active: on, ...because });
  }

  #forceMute(): void {
    this.#setAudio(false, { activeReason: "auto" });
    this.emit("muteForced", {});
  }

  #updateChannel(channel: string, content: Json): void {
    const publication = this.#publication;
    if (!publication?.stream) return;
    const { context, streamId } = publication;
    context.post("update", context.uris.streamChannel(streamId, channel), content);
  }

  #description(id: string, { stream, videoType }: Captured): Json {
    const video = stream.getVideoTracks()[0];
    const audio = stream.getAudioTracks()[0];
    const { width = 640, height = 480, frameRate } = video?.getSettings() ?? {};
    const { name = "", initials } = this.#properties;
    return {
      id,
      name,
      publisherAudioFallbackEnabled: false,
      subscriberAudioFallbackEnabled: videoType !== "screen",
      channel: [
        ...(video
          ? [
              {
                id: "video1",
                type: "video",
                active: this.#video,
                ...{ width, height, orientation: 0 },
                ...(frameRate ? { frameRate: Math.round(frameRate) } : {}),
                source: videoType,
                fitMode: this.#properties.fitMode ?? "cover",
              },
            ]
          : []),
        ...(audio
          ? [
              { id: "audio1", type: "audio", active: this.#audio },
              { id: "caption1", type: "data", active: false },
            ]
          : []),
      ],
      e2ee: false,
      customProperties: initials === undefined ? {} : { initials },
    };
  }

  #openLeg(
    publication: Publication,
    key: string,
    { uri, ids, content }: Message,
    from: string,
    names: { peerId: string; sourceStreamId: string },
  ): Leg {
    const { context, legs } = publication;
    const peer = new Peer(
      { configuration: rtcConfiguration(context.info), ...names, mayRestart: true },
      {
        send: (method, body) => context.post(method, uri, body),
        signalingUp: () => context.signalingUp(),
        connected: () => this.emit("connected", {}),
        disconnected: () => this.emit("disconnected", {}),
        failed: () => {
          peer.close();
          legs.delete(key);
          // One subscriber of a relayed session is lost; a routed stream has only this leg.
          if (names.sourceStreamId !== RELAYED) this.onLost?.("networkDisconnected");
        },
      },
    );
    const leg = { peer, subscriberId: ids.subscriber, remoteConnectionId: from };
    legs.set(key, leg);
    const { stream, videoType } = this.#captured ?? { stream: new MediaStream(), videoType: undefined };
    const simulcast = content.simulcastEnabled === true && context.info.simulcastByRid && videoType !== "screen";
    addTracks(peer.connection, stream, {
      sendVideo: this.#video,
      simulcast,
      excludedCodecs: context.info.excludedCodecs,
    });
    return leg;
  }

  #closeLegsOf({ legs }: Publication, subscriberId: string): void {
    for (const [key, leg] of legs) {
      if (leg.subscriberId !== subscriberId) continue;
      leg.peer.close();
      legs.delete(key);
    }
  }
}

/** The `reason` of a refusal. */
export function reason(payload: unknown): string {
  const text = (payload as { reason?: unknown } | null | undefined)?.reason;
  return typeof text === "string" ? text : "";
}
