// The public names, as an OpenTok application expects them.

import { freezeProxyUrl, setProxyUrl } from "./bootstrap.js";
import { asError, type Completion, type OTError } from "./errors.js";
import { playback } from "./playback.js";
import { Publisher, type PublisherProperties } from "./publisher.js";
import { Session } from "./session.js";
import type { Target } from "./view.js";

export type { OTError } from "./errors.js";
export type { Connection, Dimensions, Stream } from "./model.js";
export type { Publisher, PublisherProperties } from "./publisher.js";
export type { Session, SignalEvent } from "./session.js";
export type { Subscriber, SubscriberProperties } from "./subscriber.js";

/** One camera, microphone or loudspeaker. */
export interface Device {
  readonly deviceId: string;
  readonly label: string;
  readonly kind: "audioInput" | "videoInput" | "audioOutput";
}

/** A session that is not connected yet. */
export function initSession(apiKey: string | number, sessionId: string): Session {
  return new Session(String(apiKey), sessionId);
}

/** Starts to capture; `done` when the browser gave what was asked for, or did not. */
export function initPublisher(
  target?: Target,
  properties?: PublisherProperties | Completion,
  done?: Completion,
): Publisher {
  freezeProxyUrl();
  const callback = typeof properties === "function" ? properties : done;
  const given = typeof properties === "object" ? properties : {};
  return new Publisher(target, given, callback);
}

/** Lists what could be captured. Labels are empty until the user allowed capturing once. */
export function getDevices(done: (error: OTError | null, devices?: Device[]) => void): void {
  const kinds = { audioinput: "audioInput", videoinput: "videoInput", audiooutput: "audioOutput" } as const;
  Promise.resolve()
    .then(() => navigator.mediaDevices.enumerateDevices())
    .then(
      (devices) =>
        done(null, devices.map(({ deviceId, label, kind }) => ({ deviceId, label, kind: kinds[kind] }))),
      (error: unknown) => done(asError(error, "OT_UNABLE_TO_ENUMERATE_DEVICES", 2000)),
    );
}

/** Whether this browser can do what is needed. */
export function checkSystemRequirements(): 0 | 1 {
  return typeof RTCPeerConnection === "function" && typeof WebSocket === "function" ? 1 : 0;
}

/** Lets sound play that the browser kept back; to be called from a user's gesture. */
export function unblockAudio(): Promise<void> {
  playback.unblock();
  return Promise.resolve();
}

export { setProxyUrl };
