// Camera, microphone, screen.

import { OTError } from "./errors.js";

/** A device id, a track of the application's own, on or off. */
export type Source = string | boolean | null | undefined | MediaStreamTrack;

export interface CaptureProperties {
  /** Default: any microphone. */
  readonly audioSource?: Source;
  /** Default: any camera. `"screen"` asks for a screen. */
  readonly videoSource?: Source;
  /** `"1280x720"`; default `"640x480"`. */
  readonly resolution?: string;
  /** Frames per second; default 30. */
  readonly frameRate?: number;
  readonly facingMode?: "user" | "environment" | "left" | "right";
  readonly echoCancellation?: boolean;
  readonly noiseSuppression?: boolean;
  readonly autoGainControl?: boolean;
}

/** What was captured, and which of it is ours to stop. */
export interface Captured {
  readonly stream: MediaStream;
  readonly owned: readonly MediaStreamTrack[];
  /** `camera`, `screen` or `custom`; undefined without video. */
  readonly videoType: string | undefined;
}

/** Asks the browser for what `properties` name. Throws an `OTError` that says why there is none. */
export async function capture(properties: CaptureProperties): Promise<Captured> {
  const { audioSource = true, videoSource = true } = properties;
  const given = [audioSource, videoSource].filter((source) => source instanceof MediaStreamTrack);
  const screen = videoSource === "screen";
  const wanted: MediaStreamConstraints = {
    audio: audioSource instanceof MediaStreamTrack ? false : audioConstraints(audioSource, properties),
    video: videoSource instanceof MediaStreamTrack || screen ? false : videoConstraints(videoSource, properties),
  };
  if ((wanted.audio || wanted.video || screen) && !navigator.mediaDevices) {
    throw new OTError("OT_NOT_SUPPORTED", 1500, "Camera and microphone need a secure page (https, or localhost)");
  }
  const owned: MediaStreamTrack[] = [];
  try {
    if (screen) owned.push(...(await navigator.mediaDevices.getDisplayMedia({ video: true })).getTracks());
    if (wanted.audio || wanted.video) {
      owned.push(...(await navigator.mediaDevices.getUserMedia(wanted)).getTracks());
    }
  } catch (error) {
    for (const track of owned) track.stop();
    throw captureError(error, screen);
  }
  const stream = new MediaStream([...given, ...owned]);
  const custom = videoSource instanceof MediaStreamTrack;
  const videoType = stream.getVideoTracks().length === 0 ? undefined : screen ? "screen" : custom ? "custom" : "camera";
  return { stream, owned, videoType };
}

function audioConstraints(source: Exclude<Source, MediaStreamTrack>, properties: CaptureProperties): MediaTrackConstraints | false {
  if (source === false || source === null) return false;
  const { echoCancellation, noiseSuppression, autoGainControl } = properties;
  return {
    ...device(source),
    ...(echoCancellation === undefined ? {} : { echoCancellation }),
    ...(noiseSuppression === undefined ? {} : { noiseSuppression }),
    ...(autoGainControl === undefined ? {} : { autoGainControl }),
  };
}

function videoConstraints(source: Exclude<Source, MediaStreamTrack>, properties: CaptureProperties): MediaTrackConstraints | false {
  if (source === false || source === null) return false;
  const [width = 640, height = 480] = (properties.resolution ?? "").split("x").map(Number).filter(Boolean);
  return {
    ...device(source),
    ...(properties.facingMode ? { facingMode: properties.facingMode } : {}),
    width: { ideal: width },
    height: { ideal: height },
    frameRate: { ideal: properties.frameRate ?? 30 },
  };
}

function device(source: string | boolean | undefined): MediaTrackConstraints {
  return typeof source === "string" ? { deviceId: { exact: source } } : {};
}

function captureError(error: unknown, screen: boolean): OTError {
  const cause = error instanceof DOMException ? error.name : "";
  switch (cause) {
    case "NotAllowedError":
    case "SecurityError":
      return new OTError(
        "OT_USER_MEDIA_ACCESS_DENIED",
        1500,
        screen ? "Sharing the screen was not allowed" : "The use of camera and microphone was not allowed",
      );
    case "NotFoundError":
      return new OTError("OT_NO_DEVICES_FOUND", 1500, "No camera or microphone was found");
    case "NotReadableError":
    case "AbortError":
      return new OTError("OT_HARDWARE_UNAVAILABLE", 1500, "The camera or microphone is in use by another program");
    case "OverconstrainedError":
      return new OTError("OT_CONSTRAINTS_NOT_SATISFIED", 1500, "The chosen camera or microphone is not available");
    default:
      return new OTError("OT_UNABLE_TO_CAPTURE_MEDIA", 1500, error instanceof Error ? error.message : String(error));
  }
}
