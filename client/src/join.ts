// The way into a session: session info, the link, and our own connection on it.

import { fetchSessionInfo, type InfoRequest, type SessionInfo } from "./bootstrap.js";
import { OTError, asError, refusal } from "./errors.js";
import { Uris, parseSessionState, type SessionState } from "./messages.js";
import { reason } from "./publisher.js";
import { Link, type LinkHandlers, type LinkOptions, type Transport } from "./signaling.js";
import { uuid } from "./uuid.js";

/** Attempts to connect in all, and the least time between the beginnings of two. */
const CONNECT_ATTEMPTS = 3;
const CONNECT_SPACING_MS = 3_000;

/** What a session uses of the world; tests bring their own. */
export interface SessionWorld {
  fetchInfo(request: InfoRequest): Promise<SessionInfo>;
  /** Opens the link; rejects when the server cannot be reached. */
  openLink(options: LinkOptions, handlers: LinkHandlers): Promise<Transport>;
}

export const browserWorld: SessionWorld = {
  fetchInfo: fetchSessionInfo,
  async openLink(options, handlers) {
    const link = new Link(options, handlers);
    await link.open();
    return link;
  },
};

/** What is there once the server has let us in. */
export interface Entrance {
  readonly info: SessionInfo;
  readonly uris: Uris;
  readonly connectionId: string;
  readonly link: Transport;
  /** Who else is there. */
  readonly state: SessionState;
  /** Tells these handlers what the link says from now on, beginning with the messages that came before. */
  listen(handlers: LinkHandlers): void;
}

/** Joins; undefined if that is no longer `wanted` meanwhile. Rejects with an `OTError`. */
export async function join(
  world: SessionWorld,
  request: Omit<InfoRequest, "connectionId">,
  wanted: () => boolean,
): Promise<Entrance | undefined> {
  const connectionId = uuid();
  for (let attempt = 1; wanted(); attempt += 1) {
    const begin = Date.now();
    try {
      return await tryJoin(world, { ...request, connectionId }, wanted);
    } catch (error) {
      if (!(error instanceof Retriable)) throw error;
      if (attempt === CONNECT_ATTEMPTS) throw error.error;
    }
    await new Promise((resolve) => setTimeout(resolve, begin + CONNECT_SPACING_MS - Date.now()));
  }
  return undefined;
}

async function tryJoin(world: SessionWorld, request: InfoRequest, wanted: () => boolean): Promise<Entrance | undefined> {
  const { connectionId, token } = request;
  const info = await world.fetchInfo(request);
  if (!wanted()) return undefined;
  const uris = new Uris(info.partnerId, info.sessionId);
  const { link, listen } = await openLink(world, info, uris, connectionId);
  const leftMeanwhile = () => {
    if (wanted()) return false;
    link.close();
    return true;
  };
  if (leftMeanwhile()) return undefined;
  const content = {
    userAgent: globalThis.navigator?.userAgent ?? "",
    clientVersion: "js-parlor",
    capabilities: ["forceMute", ...(info.renegotiation ? ["renegotiation"] : [])],
  };
  const reply = await link
    .request({ method: "create", uri: uris.connection(connectionId), content }, { headers: { "X-TB-TOKEN-AUTH": token } })
    .catch(tryAgain);
  if (leftMeanwhile()) return undefined;
  if (!reply.ok) {
    link.close();
    const error = refusal("connect", reply.status, reason(reply.payload));
    throw reply.status >= 500 ? new Retriable(error) : error;
  }
  return { info, uris, connectionId, link, state: parseSessionState(reply.payload), listen };
}

/** A link that keeps its messages until somebody listens. */
async function openLink(
  world: SessionWorld,
  info: SessionInfo,
  uris: Uris,
  connectionId: string,
): Promise<Pick<Entrance, "link" | "listen">> {
  const early: [from: string, payload: string][] = [];
  let listener: LinkHandlers | undefined;
  const options: LinkOptions = {
    url: info.messagingUrl,
    connectionId,
    symphonyAddress: info.symphonyAddress,
    topic: uris.session,
    resumable: info.resumable,
  };
  const link = await world
    .openLink(options, {
      message: (from, payload) => (listener ? listener.message(from, payload) : void early.push([from, payload])),
      reconnecting: () => listener?.reconnecting(),
      reconnected: () => listener?.reconnected(),
      closed: () => listener?.closed(),
    })
    .catch(tryAgain);
  const listen = (handlers: LinkHandlers) => {
    listener = handlers;
    for (const message of early.splice(0)) handlers.message(...message);
  };
  return { link, listen };
}

/** A failure after which connecting is tried again. */
class Retriable extends Error {
  readonly error: OTError;

  constructor(error: OTError) {
    super(error.message);
    this.error = error;
  }
}

function tryAgain(error: unknown): never {
  throw new Retriable(asError(error, "OT_CONNECT_FAILED", 1006));
}
