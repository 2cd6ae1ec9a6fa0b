// One RTCPeerConnection and the messages that negotiate it.
//
// Towards a publisher leg we always offer; on a subscriber leg the other side offers, and we do so
// only to restart ICE. Should both happen at once we give way.

import type { Json } from "./messages.js";

/** Time for ICE to come back after a restart before the leg counts as lost. */
const RECOVERY_MS = 10_000;

/** What a peer needs from its owner. */
export interface PeerHandlers {
  /** Sends `offer`, `answer` or `candidate` to the other side. */
  send(method: string, content: Json): void;
  /** Whether the websocket is up: without it nothing can be restarted. */
  signalingUp(): boolean;
  connected(): void;
  /** ICE lost the other side; a restart is on its way if this side may restart. */
  disconnected(): void;
  /** It did not come back. */
  failed(error: Error): void;
  track?(track: MediaStreamTrack): void;
}

export interface PeerOptions {
  readonly configuration: RTCConfiguration;
  readonly peerId: string;
  readonly sourceStreamId: string;
  /** False on the subscriber's side of a relayed session, where the publisher restarts. */
  readonly mayRestart: boolean;
}

export class Peer {
  readonly connection: RTCPeerConnection;
  readonly #options: PeerOptions;
  readonly #handlers: PeerHandlers;
  /** Candidates that came before the description they belong to. */
  #early: RTCIceCandidateInit[] = [];
  /** Negotiation steps run one after the other. */
  #steps: Promise<void> = Promise.resolve();
  /** An offer of ours has no answer yet. */
  #offering = false;
  /** Another offer is due when the answer has come; `iceRestart` if one of those asked for it. */
  #due: { iceRestart: boolean } | undefined;
  #recovery: ReturnType<typeof setTimeout> | undefined;
  #live = true;
  #wasConnected = false;
  /** What the owner was told last. */
  #up = false;

  constructor(options: PeerOptions, handlers: PeerHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.connection = new RTCPeerConnection(options.configuration);
    this.connection.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) {
        const { sdpMid, sdpMLineIndex } = candidate;
        this.#send("candidate", { candidate: candidate.candidate, sdpMid, sdpMLineIndex });
      }
    };
    this.connection.oniceconnectionstatechange = () => this.#handleIceState();
    this.connection.ontrack = ({ track }) => handlers.track?.(track);
  }

  get connected(): boolean {
    const state = this.connection.iceConnectionState;
    return state === "connected" || state === "completed";
  }

  /** Sends an offer; while one is outstanding, remembers to send another. */
  offer(iceRestart = false): void {
    this.#step(async () => {
      if (this.#offering) {
        this.#due = { iceRestart: iceRestart || this.#due?.iceRestart === true };
        return;
      }
      this.#offering = true;
      await this.connection.setLocalDescription(await this.connection.createOffer({ iceRestart }));
      this.#sendDescription();
    });
  }

  handleAnswer(sdp: string): void {
    this.#step(async () => {
      if (!this.#offering) return;
      await this.connection.setRemoteDescription({ type: "answer", sdp });
      this.#offering = false;
      await this.#addEarly();
      const due = this.#due;
      this.#due = undefined;
      if (due) this.offer(due.iceRestart);
    });
  }

  handleOffer(sdp: string): void {
    this.#step(async () => {
      // Rolls back an offer of ours; whether that is still needed shows when the answer is out.
      await this.connection.setRemoteDescription({ type: "offer", sdp });
      const gaveWay = this.#offering;
      this.#offering = false;
      await this.#addEarly();
      await this.connection.setLocalDescription();
      this.#sendDescription();
      if (gaveWay && this.#wasConnected && !this.connected) this.offer(true);
    });
  }

  handleCandidate({ candidate, sdpMid, sdpMLineIndex }: Json): void {
    if (typeof candidate !== "string") return;
    const init: RTCIceCandidateInit = {
      candidate,
      sdpMid: typeof sdpMid === "string" ? sdpMid : null,
      sdpMLineIndex: typeof sdpMLineIndex === "number" ? sdpMLineIndex : null,
    };
    this.#step(async () => {
      if (this.connection.remoteDescription) await this.#add(init);
      else this.#early.push(init);
    });
  }

  /** After a resume of the websocket: restarts ICE if it was lost meanwhile. */
  handleSignalingResumed(): void {
    if (this.#wasConnected && !this.connected) this.#recover();
  }

  close(): void {
    this.#live = false;
    clearTimeout(this.#recovery);
    this.connection.onicecandidate = null;
    this.connection.oniceconnectionstatechange = null;
    this.connection.ontrack = null;
    this.connection.close();
  }

  #handleIceState(): void {
    if (this.connected) {
      this.#wasConnected = true;
      clearTimeout(this.#recovery);
      this.#recovery = undefined;
      // From "connected" to "completed" is no news.
      if (!this.#up) this.#handlers.connected();
      this.#up = true;
      return;
    }
    const state = this.connection.iceConnectionState;
    if (state !== "disconnected" && state !== "failed") return;
    if (this.#up) this.#handlers.disconnected();
    this.#up = false;
    if (this.#handlers.signalingUp()) this.#recover();
  }

  #recover(): void {
    if (this.#recovery !== undefined) return;
    this.#recovery = setTimeout(() => {
      this.#recovery = undefined;
      if (this.#handlers.signalingUp()) this.#handlers.failed(new Error("The media connection was lost"));
    }, RECOVERY_MS);
    if (this.#options.mayRestart) this.offer(true);
  }

  async #addEarly(): Promise<void> {
    for (const init of this.#early.splice(0)) await this.#add(init);
  }

  /** A candidate that the browser cannot use is no reason to give up the others. */
  async #add(init: RTCIceCandidateInit): Promise<void> {
    await this.connection.addIceCandidate(init).catch(() => undefined);
  }

  #sendDescription(): void {
    const description = this.connection.localDescription;
    if (description) this.#send(description.type, { type: description.type, sdp: description.sdp });
  }

  #send(method: string, content: Json): void {
    const { peerId, sourceStreamId } = this.#options;
    this.#handlers.send(method, { peerId, sourceStreamId, ...content });
  }

  #step(run: () => Promise<void>): void {
    this.#steps = this.#steps.then(async () => {
      if (!this.#live) return;
      try {
        await run();
      } catch (error) {
        if (this.#live) this.#handlers.failed(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }
}
