// What publishers and subscribers know of the session they are in.

import type { SessionInfo } from "./bootstrap.js";
import type { Json, Outgoing, Uris } from "./messages.js";
import type { Reply } from "./signaling.js";

export interface SessionContext {
  readonly info: SessionInfo;
  readonly uris: Uris;
  readonly connectionId: string;
  /** Sends a request and waits for the reply. */
  request(message: Outgoing): Promise<Reply>;
  /** Sends a request whose reply changes nothing. */
  post(method: string, uri: string, content: Json): void;
  /** Whether the websocket is up. */
  signalingUp(): boolean;
}

/** Settings of every peer connection of a session. */
export function rtcConfiguration({ iceServers, relayOnly }: SessionInfo): RTCConfiguration {
  return {
    iceServers,
    iceTransportPolicy: relayOnly ? "relay" : "all",
    bundlePolicy: "max-bundle",
    rtcpMuxPolicy: "require",
  };
}

/** Names of the two kinds of legs in messages. */
export const ROUTED = "MANTIS";
export const RELAYED = "P2P";
