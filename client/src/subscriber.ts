// What this page receives of one stream.

import { ROUTED, RELAYED, rtcConfiguration, type SessionContext } from "./context.js";
import { OTError, asError, refusal, type Completion } from "./errors.js";
import { Emitter } from "./events.js";
import type { Json, Message } from "./messages.js";
import type { Change, Dimensions, Stream } from "./model.js";
import { Peer } from "./peer.js";
import { playback } from "./playback.js";
import { reason } from "./publisher.js";
import { mediaStats, type MediaStats } from "./stats.js";
import { uuid } from "./uuid.js";
import { View, type Target, type ViewProperties } from "./view.js";

/** Time until something must be on show. */
const SUBSCRIBE_MS = 30_000;
/** How long video may be missing at first although the stream says it has some. */
const FIRST_FRAME_MS = 2_000;

export interface SubscriberProperties extends ViewProperties {
  /** Default true. */
  readonly subscribeToAudio?: boolean;
  readonly subscribeToVideo?: boolean;
  readonly preferredResolution?: Dimensions;
  readonly preferredFrameRate?: number;
  /** 0 to 100; default 100. */
  readonly audioVolume?: number;
}

export interface SubscriberEvents {
  connected: object;
  disconnected: object;
  destroyed: { readonly reason: string };
  videoEnabled: { readonly reason: string };
  videoDisabled: { readonly reason: string };
  videoDisableWarning: object;
  videoDisableWarningLifted: object;
  videoDimensionsChanged: { readonly oldValue: Dimensions; readonly newValue: Dimensions };
  videoElementCreated: { readonly element: HTMLVideoElement };
  audioBlocked: object;
  audioUnblocked: object;
}

export class Subscriber extends Emitter<SubscriberEvents> {
  /** Id of the element on the page. */
  readonly id = `OT_${uuid()}`;
  /** Id of this subscription in messages. */
  readonly widgetId = uuid();
  readonly stream: Stream;
  readonly #context: SessionContext;
  readonly #properties: SubscriberProperties;
  readonly #view: View;
  readonly #media = new MediaStream();
  readonly #done: Completion;
  readonly #late: ReturnType<typeof setTimeout>;
  #peer: Peer | undefined;
  #settled = false;
  #destroyed = false;
  #audioBlocked = false;
  #wantsAudio: boolean;
  #wantsVideo: boolean;
  /** False while the server keeps video back because the network is too slow. */
  #affordable = true;
  /** Called when the subscription must end for a reason found here. Set by the session. */
  onLost: (() => void) | undefined;

  constructor(context: SessionContext, stream: Stream, target: Target, properties: SubscriberProperties, done?: Completion) {
    super();
    this.#context = context;
    this.stream = stream;
    this.#properties = properties;
    this.#wantsAudio = properties.subscribeToAudio !== false;
    this.#wantsVideo = properties.subscribeToVideo !== false;
    this.#done = done ?? (() => undefined);
    this.#view = new View(target, properties, { id: this.id, muted: false, mirror: false });
    this.#view.video.addEventListener("resize", () => this.#settleIfShowing());
    this.#view.video.addEventListener("loadeddata", () => this.#settleIfShowing());
    if (properties.audioVolume !== undefined) this.setAudioVolume(properties.audioVolume);
    this.#late = setTimeout(
      () => this.#fail(new OTError("OT_TIMEOUT", 1501, "Nothing was received in time")),
      SUBSCRIBE_MS,
    );
  }

  get streamId(): string {
    return this.stream.streamId;
  }

  get element(): HTMLElement | undefined {
    return this.#view.element;
  }

  get mediaStream(): MediaStream {
    return this.#media;
  }

  subscribeToAudio(on: boolean): this {
    if (on === this.#wantsAudio) return this;
    this.#wantsAudio = on;
    for (const track of this.#media.getAudioTracks()) track.enabled = on;
    this.#updateChannel("audio1", { active: on });
    return this;
  }

  subscribeToVideo(on: boolean): this {
    if (on === this.#wantsVideo) return this;
    this.#changeVideo("subscribeToVideo", () => (this.#wantsVideo = on));
    this.#updateChannel("video1", { active: on });
    return this;
  }

  /** Asks for the layer of a simulcast stream that fits this size best; zeros ask for any. */
  setPreferredResolution({ width, height }: Dimensions): this {
    this.#updateChannel("video1", { preferredWidth: width, preferredHeight: height });
    return this;
  }

  /** Frames per second; zero asks for all. */
  setPreferredFrameRate(rate: number): this {
    this.#updateChannel("video1", { preferredFrameRate: rate });
    return this;
  }

  restrictFrameRate(on: boolean): this {
    this.#updateChannel("video1", { restrictFrameRate: on });
    return this;
  }

  /** 0 to 100. */
  setAudioVolume(volume: number): this {
    this.#view.video.volume = Math.min(Math.max(volume, 0), 100) / 100;
    return this;
  }

  getAudioVolume(): number {
    return Math.round(this.#view.video.volume * 100);
  }

  isAudioBlocked(): boolean {
    return this.#audioBlocked;
  }

  videoWidth(): number {
    return this.#view.video.videoWidth;
  }

  videoHeight(): number {
    return this.#view.video.videoHeight;
  }

  getStats(done: (error: OTError | null, stats?: MediaStats) => void): void {
    this.getRtcStatsReport().then(
      (report) => done(null, mediaStats(report)),
      (error: unknown) => done(asError(error, "OT_GET_STATS_FAILED", 2000)),
    );
  }

  async getRtcStatsReport(): Promise<RTCStatsReport> {
    if (!this.#peer) throw new OTError("OT_NOT_CONNECTED", 1015, "The subscriber is not connected");
    return this.#peer.connection.getStats();
  }

  // The rest is between the session and its subscribers.

  /** Asks the server for the stream. */
  async start(): Promise<void> {
    const { uris, connectionId } = this.#context;
    this.emit("videoElementCreated", { element: this.#view.video });
    const { preferredResolution: size, preferredFrameRate } = this.#properties;
    try {
      const reply = await this.#context.request({
        method: "create",
        uri: uris.subscriber(this.streamId, this.widgetId),
        content: {
          id: this.widgetId,
          connection: connectionId,
          keyManagementMethod: "DTLS_SRTP",
          bundleSupport: true,
          rtcpMuxSupport: true,
          e2ee: false,
          channel: [
            { id: "audio1", type: "audio", active: this.#wantsAudio },
            {
              ...{ id: "video1", type: "video", active: this.#wantsVideo, restrictFrameRate: false },
              ...(size ? { preferredWidth: size.width, preferredHeight: size.height } : {}),
              ...(preferredFrameRate ? { preferredFrameRate } : {}),
            },
            { id: "caption1", type: "data", active: false },
          ],
        },
      });
      if (!reply.ok) this.#fail(refusal("subscribe", reply.status, reason(reply.payload)));
    } catch (error) {
      this.#fail(asError(error, "OT_UNABLE_TO_SUBSCRIBE", 2001));
    }
  }

  /** Shows what this page itself publishes: nothing travels. */
  startLocal(media: MediaStream): void {
    this.emit("videoElementCreated", { element: this.#view.video });
    for (const track of media.getVideoTracks()) this.#media.addTrack(track);
    this.#view.video.muted = true;
    this.#view.show(this.#media);
    this.#settle();
  }

  handleNegotiation({ method, content, uri }: Message): void {
    if (this.#destroyed) return;
    const sdp = typeof content.sdp === "string" ? content.sdp : undefined;
    if (method === "offer" && sdp !== undefined) {
      this.#peer ??= this.#openPeer(uri, content);
      this.#peer.handleOffer(sdp);
    } else if (method === "answer" && sdp !== undefined) {
      this.#peer?.handleAnswer(sdp);
    } else if (method === "candidate") {
      this.#peer?.handleCandidate(content);
    }
  }

  /** The server speaks about this subscription's video. */
  handleChannel({ method, content }: Message): void {
    if (typeof content.disableWarning === "boolean") {
      this.emit(content.disableWarning ? "videoDisableWarning" : "videoDisableWarningLifted", {});
    }
    if (method !== "update" || typeof content.active !== "boolean") return;
    const affordable = content.active;
    this.#changeVideo("quality", () => (this.#affordable = affordable));
    this.#updateChannel("video1", { active: affordable && this.#wantsVideo, activeReason: "auto" });
  }

  /** Properties of the stream changed; `hadVideo` is from before. */
  handleStreamChanges(changes: readonly Change[]): void {
    for (const { changedProperty, oldValue, newValue } of changes) {
      if (changedProperty === "videoDimensions") {
        this.emit("videoDimensionsChanged", {
          oldValue: oldValue as Dimensions,
          newValue: newValue as Dimensions,
        });
      }
      if (changedProperty !== "hasVideo" || !this.#wantsVideo || !this.#affordable) continue;
      this.emit(newValue === true ? "videoEnabled" : "videoDisabled", { reason: "publishVideo" });
      this.#settleIfShowing();
    }
  }

  handleSignalingResumed(): void {
    this.#peer?.handleSignalingResumed();
  }

  /** The subscription is over; the session has told the server what it needs to know. */
  handleRemoved(reason: string): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    clearTimeout(this.#late);
    playback.forget(this);
    this.#peer?.close();
    this.#settle(new OTError("OT_STREAM_DESTROYED", 1501, "The stream ended before it was received"));
    this.emit("destroyed", { reason }, () => this.#view.remove());
  }

  #openPeer(uri: string, content: Json): Peer {
    const sourceStreamId = String(content.sourceStreamId ?? ROUTED);
    return new Peer(
      {
        configuration: rtcConfiguration(this.#context.info),
        peerId: String(content.peerId ?? ""),
        sourceStreamId,
        mayRestart: sourceStreamId !== RELAYED,
      },
      {
        send: (method, body) => this.#context.post(method, uri, body),
        signalingUp: () => this.#context.signalingUp(),
        connected: () => {
          if (this.#settled) this.emit("connected", {});
          else setTimeout(() => this.#settle(), FIRST_FRAME_MS);
          this.#settleIfShowing();
        },
        disconnected: () => this.emit("disconnected", {}),
        failed: (error) => this.#fail(asError(error, "OT_UNABLE_TO_SUBSCRIBE", 1501)),
        track: (track) => this.#addTrack(track),
      },
    );
  }

  #addTrack(track: MediaStreamTrack): void {
    if (track.kind === "audio") track.enabled = this.#wantsAudio;
    this.#media.addTrack(track);
    this.#view.show(this.#media);
    playback.start(this.#view.video, this, (blocked) => {
      if (this.#audioBlocked === blocked) return;
      this.#audioBlocked = blocked;
      this.emit(blocked ? "audioBlocked" : "audioUnblocked", {});
    });
  }

  #settleIfShowing(): void {
    if (!this.#peer?.connected) return;
    const video = this.stream.hasVideo && this.#wantsVideo && this.#affordable;
    if (!video || this.#view.video.videoWidth > 0) this.#settle();
  }

  #settle(error?: OTError): void {
    if (this.#settled) return;
    if (!error && this.#destroyed) return;
    this.#settled = true;
    clearTimeout(this.#late);
    if (!error) this.emit("connected", {});
    this.#done(error);
  }

  #fail(error: OTError): void {
    this.#settle(error);
    this.onLost?.();
  }

  /** Changes one of the conditions for video and says so if that makes a difference. */
  #changeVideo(reason: string, change: () => void): void {
    const shows = () => this.stream.hasVideo && this.#wantsVideo && this.#affordable;
    const before = shows();
    change();
    if (shows() !== before) this.emit(before ? "videoDisabled" : "videoEnabled", { reason });
  }

  #updateChannel(channel: string, content: Json): void {
    if (this.#destroyed) return;
    const { uris } = this.#context;
    this.#context.post("update", uris.subscriberChannel(this.streamId, this.widgetId, channel), content);
  }
}
