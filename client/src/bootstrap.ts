// Before the websocket: where the server is, and what it says about the session.

import { OTError } from "./errors.js";
import { array, object, parseJson, type Json } from "./messages.js";

/** What the server says about a session before anybody connects. */
export interface SessionInfo {
  readonly sessionId: string;
  readonly partnerId: string;
  readonly messagingUrl: string;
  readonly symphonyAddress: string;
  readonly iceServers: RTCIceServer[];
  /** Media goes directly between browsers. */
  readonly relayed: boolean;
  readonly resumable: boolean;
  readonly renegotiation: boolean;
  /** Simulcast is told apart by RIDs rather than by SSRC groups. */
  readonly simulcastByRid: boolean;
  /** Only relay candidates may be used. */
  readonly relayOnly: boolean;
  /** Video codecs that must not be used, lower case. */
  readonly excludedCodecs: readonly string[];
}

/** Requests for session info in all, when the server fails rather than refuses. */
const ATTEMPTS = 3;
/** Wait before the second request; doubles. */
const RETRY_MS = 600;

/** The host that applications written for OpenTok's cloud expect; behind a proxy URL it becomes a path. */
const CLOUD_API = "https://anvil.opentok.com";

let proxyUrl: string | undefined;
let proxyInUse = false;

/** The script's own address, for an application that names no server: that is where it was loaded from. */
const scriptUrl =
  typeof document !== "undefined" && document.currentScript instanceof HTMLScriptElement
    ? document.currentScript.src
    : undefined;

/**
 * Sends all requests to this server. Once, and before the first session or publisher.
 *
 * Throws 2021 when it comes too late and 2022 when it comes twice.
 */
export function setProxyUrl(url: string): void {
  if (proxyUrl !== undefined) throw new OTError("OT_PROXY_URL_ALREADY_SET_ERROR", 2022, "The proxy URL is already set");
  if (proxyInUse) {
    throw new OTError("OT_SET_PROXY_URL_TIMING_ERROR", 2021, "Set the proxy URL before the first session or publisher");
  }
  proxyUrl = url;
}

/** From now on `setProxyUrl` comes too late. */
export function freezeProxyUrl(): void {
  proxyInUse = true;
}

/** The proxied form of a URL: the original host becomes the first part of the path. */
export function throughProxy(original: string, proxy: string | undefined): string {
  if (proxy === undefined || !/^\w+:\/\//.test(original) || !/^\w+:\/\//.test(proxy)) return original;
  const from = new URL(original);
  const to = new URL(proxy);
  const secure = to.protocol === "https:" || to.protocol === "wss:" ? "s" : "";
  const scheme = (from.protocol.startsWith("ws") ? "ws" : "http") + secure;
  const prefix = to.pathname.replace(/\/$/, "");
  return `${scheme}://${to.host}${prefix}/${from.host}${from.pathname}${from.search}`.replace(/\/$/, "");
}

/** Base of the API: an explicit `OTProperties.apiURL`, the proxy, or the server this script came from. */
function apiBase(): string {
  const properties = object((globalThis as { OTProperties?: unknown }).OTProperties);
  if (typeof properties?.apiURL === "string") return throughProxy(properties.apiURL, proxyUrl);
  if (proxyUrl !== undefined) return throughProxy(CLOUD_API, proxyUrl);
  if (scriptUrl) return new URL(scriptUrl).origin;
  return CLOUD_API;
}

export interface InfoRequest {
  readonly apiKey: string;
  readonly sessionId: string;
  readonly token: string;
  readonly connectionId: string;
}

/** Asks for session info; asks again when the server failed rather than refused. */
export async function fetchSessionInfo(request: InfoRequest): Promise<SessionInfo> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await fetchOnce(request);
    } catch (error) {
      if (!(error instanceof Passing) || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * 2 ** (attempt - 1)));
    }
  }
}

/** A failure that may pass. */
class Passing extends OTError {}

async function fetchOnce({ apiKey, sessionId, token, connectionId }: InfoRequest): Promise<SessionInfo> {
  const [base, query] = splitQuery(apiBase());
  const url = `${base}/session/${encodeURIComponent(sessionId)}?${query}extended=true`;
  const headers = {
    Accept: "application/json",
    "X-OPENTOK-AUTH": token,
    "X-TB-VERSION": "1",
    "X-TB-CLIENT-VERSION": "js-parlor",
    "X-TB-CONNECTIONID": connectionId,
  };
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { headers });
    text = await response.text();
  } catch {
    throw new Passing("OT_CONNECT_FAILED", 1006, "The server could not be reached");
  }
  if (!response.ok) {
    throw new Passing("OT_INVALID_HTTP_STATUS", 2001, `The server answered with HTTP status ${response.status}`);
  }
  const info = parseSessionInfo(text);
  if (info.partnerId && info.partnerId !== apiKey) {
    throw new OTError("OT_AUTHENTICATION_ERROR", 1004, "The session does not belong to this API key");
  }
  return { ...info, messagingUrl: throughProxy(info.messagingUrl, proxyUrl) };
}

function splitQuery(url: string): [base: string, query: string] {
  const [base = "", query] = url.split("?");
  return [base.replace(/\/$/, ""), query ? `${query}&` : ""];
}

/** Reads the answer to a session info request; throws what the answer means if it is not one. */
export function parseSessionInfo(text: string): SessionInfo {
  if (text.trim() === "") throw empty();
  const parsed = parseJson(text);
  if (parsed === undefined) throw new Passing("OT_XDOMAIN_OR_PARSING_ERROR", 2001, "The server's answer is not JSON");
  const info = object(array(parsed)[0]);
  if (!info) throw empty();
  const error = object(info.error);
  if (error) throw refusedInfo(error);

  const properties = object(info.properties) ?? {};
  const preference = object(object(properties.p2p)?.preference)?.value;
  return {
    sessionId: String(info.session_id ?? ""),
    partnerId: String(info.partner_id ?? ""),
    messagingUrl: String(info.messaging_url ?? ""),
    symphonyAddress: String(info.symphony_address ?? ""),
    iceServers: array(info.ice_servers).flatMap(parseIceServer),
    relayed: preference === "enabled",
    resumable: properties.reconnection === true,
    renegotiation: properties.renegotiation === true,
    simulcastByRid: properties.streamSimulcastRidEnabled === true,
    relayOnly: properties.clientCandidates === "relayed" || properties.clientCandidates === "relay",
    excludedCodecs: ["h264", "vp8", "vp9"].filter((codec) => properties[codec] === false),
  };
}

function empty(): OTError {
  return new Passing("OT_EMPTY_RESPONSE_BODY", 1006, "The server's answer is empty");
}

const REFUSED_INFO: Record<string, readonly [name: string, code: number]> = {
  400: ["OT_INVALID_SESSION_ID", 1005],
  403: ["OT_AUTHENTICATION_ERROR", 1004],
  404: ["OT_INVALID_SESSION_ID", 1005],
  409: ["OT_TERMS_OF_SERVICE_FAILURE", 1026],
  500: ["OT_UNEXPECTED_SERVER_RESPONSE", 2001],
};

function refusedInfo(error: Json): OTError {
  const status = String(error.code ?? "");
  const text = `${String(object(error.errorMessage)?.message ?? "The server refused")} (${status})`;
  const known = REFUSED_INFO[status];
  return known ? new OTError(known[0], known[1], text) : new Passing("OT_UNEXPECTED_ERROR_CODE", 2001, text);
}

function parseIceServer(value: unknown): RTCIceServer[] {
  const server = object(value);
  const urls = array(server?.urls ?? [server?.url]).filter((url) => typeof url === "string");
  if (!server || urls.length === 0) return [];
  const { username, credential } = server;
  return [
    {
      urls,
      ...(typeof username === "string" ? { username } : {}),
      ...(typeof credential === "string" ? { credential } : {}),
    },
  ];
}
