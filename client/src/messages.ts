// Raptor: the JSON inside Rumor MESSAGE frames. A request or an event is a method on a URI;
// what arrives is `unknown` until it went through a parser of this file.

/** JSON object as it arrives. */
export type Json = Record<string, unknown>;

/** Resource kinds, named by the last part of the URI. */
export type Resource =
  | "session"
  | "connection"
  | "stream"
  | "streamChannel"
  | "subscriber"
  | "subscriberChannel"
  | "signal"
  | "archive"
  | "data"
  | "source"
  | "notification"
  | "unknown";

/** An event or request, with its URI taken apart. */
export interface Message {
  readonly method: string;
  readonly uri: string;
  readonly resource: Resource;
  /** Ids of the URI by name: `stream`, `subscriber`, `channel`, `connection`, … */
  readonly ids: Readonly<Record<string, string>>;
  readonly content: Json;
  readonly reason: string | undefined;
  /** The whole object: session updates keep their members outside of `content`. */
  readonly body: Json;
}

/** What is sent. */
export interface Outgoing {
  readonly method: string;
  readonly uri: string;
  readonly content?: Json;
  readonly [member: string]: unknown;
}

/** A connection as the server describes it. */
export interface ConnectionRecord {
  readonly id: string;
  readonly creationTime: number;
  readonly data: string;
  readonly permissions: readonly string[];
}

/** One channel of a stream. */
export interface ChannelRecord {
  readonly id: string;
  readonly type: string;
  readonly active: boolean;
  readonly width: number;
  readonly height: number;
  readonly frameRate: number | undefined;
  readonly source: string | undefined;
}

/** A stream as the server describes it. */
export interface StreamRecord {
  readonly id: string;
  readonly name: string;
  readonly creationTime: number;
  readonly connectionId: string;
  readonly connection: ConnectionRecord | undefined;
  readonly channels: readonly ChannelRecord[];
  readonly customProperties: Json;
}

/** Everything that is there when a client joins. */
export interface SessionState {
  readonly connections: readonly ConnectionRecord[];
  readonly streams: readonly StreamRecord[];
  readonly archives: readonly Json[];
  readonly muted: boolean;
}

/** URIs of one session. */
export class Uris {
  readonly session: string;

  constructor(partnerId: string, sessionId: string) {
    this.session = `/v2/partner/${partnerId}/session/${sessionId}`;
  }

  connection = (id: string): string => `${this.session}/connection/${id}`;
  stream = (id: string): string => `${this.session}/stream/${id}`;
  streamChannel = (id: string, channel: string): string => `${this.stream(id)}/channel/${channel}`;
  subscriber = (stream: string, id: string): string => `${this.stream(stream)}/subscriber/${id}`;
  subscriberChannel = (stream: string, id: string, channel: string): string =>
    `${this.subscriber(stream, id)}/channel/${channel}`;
  signal = (id: string, to?: string): string =>
    `${to === undefined ? this.session : this.connection(to)}/signal/${id}`;
}

/** The message in a MESSAGE payload, or nothing if it is not one. */
export function parseMessage(payload: string): Message | undefined {
  const body = object(parseJson(payload));
  if (!body || typeof body.method !== "string" || typeof body.uri !== "string") return undefined;
  const parts = body.uri.split("/").filter(Boolean).slice(1);
  const ids: Record<string, string> = {};
  for (let i = 0; i < parts.length; i += 2) ids[parts[i] as string] = parts[i + 1] ?? "";
  const last = parts[(parts.length - 1) & ~1] ?? "";
  return {
    method: body.method,
    uri: body.uri,
    resource: resource(last, ids),
    ids,
    content: object(body.content) ?? {},
    reason: typeof body.reason === "string" ? body.reason : undefined,
    body,
  };
}

const RESOURCES: ReadonlySet<string> = new Set<Resource>([
  "session", "connection", "stream", "subscriber", "signal", "archive", "data", "source", "notification",
]);

function resource(last: string, ids: Record<string, string>): Resource {
  if (last === "channel") return ids.subscriber === undefined ? "streamChannel" : "subscriberChannel";
  return RESOURCES.has(last) ? (last as Resource) : "unknown";
}

/** The session as the reply to a connection create (or a session `read`) describes it. */
export function parseSessionState(value: unknown): SessionState {
  const state = object(value) ?? {};
  return {
    connections: array(state.connection).map(parseConnection).filter(present),
    streams: array(state.stream).map((one) => parseStream(one)).filter(present),
    archives: array(state.archive ?? state.archives).map(object).filter(present),
    muted: object(state.mute)?.active === true,
  };
}

export function parseConnection(value: unknown): ConnectionRecord | undefined {
  const record = object(value);
  if (!record || typeof record.id !== "string") return undefined;
  return {
    id: record.id,
    creationTime: number(record.creationTime) ?? 0,
    data: typeof record.data === "string" ? record.data : "",
    permissions: array(record.permissions).filter((word) => typeof word === "string"),
  };
}

/** A stream; `id` is the one of the URI, where there is one. */
export function parseStream(value: unknown, id?: string): StreamRecord | undefined {
  const record = object(value);
  const streamId = id ?? record?.id;
  if (!record || typeof streamId !== "string") return undefined;
  const connection = parseConnection(record.connection);
  const connectionId = connection?.id ?? record.connectionId;
  if (typeof connectionId !== "string") return undefined;
  return {
    id: streamId,
    name: typeof record.name === "string" ? record.name : "",
    creationTime: number(record.creationTime) ?? 0,
    connectionId,
    connection,
    channels: array(record.channel).map(parseChannel).filter(present),
    customProperties: object(record.customProperties) ?? {},
  };
}

function parseChannel(value: unknown): ChannelRecord | undefined {
  const record = object(value);
  if (!record || typeof record.id !== "string") return undefined;
  return {
    id: record.id,
    type: String(record.type ?? ""),
    active: record.active === true,
    width: number(record.width) ?? 0,
    height: number(record.height) ?? 0,
    frameRate: number(record.frameRate),
    source: typeof record.source === "string" ? record.source : undefined,
  };
}

/** JSON, or nothing if it is not. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

export function object(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

export function array(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

export function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

function present<T>(value: T | undefined): value is T {
  return value !== undefined;
}
