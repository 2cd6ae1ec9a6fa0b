// Who is in the session and what they publish, in an order that makes sense to an application:
// nobody hears of a stream or a signal before its connection.

import type { ConnectionRecord, Json, SessionState, StreamRecord } from "./messages.js";
import { Connection, Stream, type Change } from "./model.js";

/** What became of something that arrived. */
export type News =
  | { readonly kind: "connectionCreated"; readonly connection: Connection }
  | { readonly kind: "connectionDestroyed"; readonly connection: Connection; readonly reason: string }
  | { readonly kind: "streamCreated"; readonly stream: Stream }
  | { readonly kind: "streamDestroyed"; readonly stream: Stream; readonly reason: string }
  | { readonly kind: "streamChanged"; readonly stream: Stream; readonly changes: readonly Change[] }
  | { readonly kind: "signal"; readonly from: Connection | null; readonly content: Json };

/** Things that wait for one connection each; more are dropped, oldest first. */
const MAX_HELD = 200;

type Held = { readonly connectionId: string } & (
  | { readonly stream: StreamRecord }
  | { readonly signal: Json }
);

export class Roster {
  readonly connections = new Map<string, Connection>();
  readonly streams = new Map<string, Stream>();
  #held: Held[] = [];

  /** Takes over the state at the time of joining. */
  load(state: SessionState): News[] {
    return [
      ...state.connections.flatMap((record) => this.addConnection(record)),
      ...state.streams.flatMap((record) => this.addStream(record)),
    ];
  }

  addConnection(record: ConnectionRecord): News[] {
    // The server's own helpers are nobody an application should know.
    if (this.connections.has(record.id) || record.id.startsWith("symphony.")) return [];
    const connection = new Connection(record);
    this.connections.set(record.id, connection);
    const waited = this.#held.filter(({ connectionId }) => connectionId === record.id);
    this.#held = this.#held.filter(({ connectionId }) => connectionId !== record.id);
    return [
      { kind: "connectionCreated", connection },
      ...waited.flatMap((held) =>
        "stream" in held ? this.addStream(held.stream) : this.signal(record.id, held.signal),
      ),
    ];
  }

  removeConnection(id: string, reason: string): News[] {
    const connection = this.connections.get(id);
    this.#held = this.#held.filter(({ connectionId }) => connectionId !== id);
    if (!connection) return [];
    const streams = [...this.streams.values()].filter((stream) => stream.connection === connection);
    const news = streams.flatMap(({ streamId }) => this.removeStream(streamId, reason));
    this.connections.delete(id);
    return [...news, { kind: "connectionDestroyed", connection, reason }];
  }

  addStream(record: StreamRecord): News[] {
    if (this.streams.has(record.id)) return [];
    const connection = this.connections.get(record.connectionId);
    if (!connection) {
      // Told with its connection, as happens when the server keeps connection events back.
      if (record.connection && !record.connection.id.startsWith("symphony.")) {
        return [...this.addConnection(record.connection), ...this.addStream(record)];
      }
      this.#hold({ connectionId: record.connectionId, stream: record });
      return [];
    }
    const stream = new Stream(record, connection);
    this.streams.set(record.id, stream);
    return [{ kind: "streamCreated", stream }];
  }

  removeStream(id: string, reason: string): News[] {
    this.#held = this.#held.filter((held) => !("stream" in held) || held.stream.id !== id);
    const stream = this.streams.get(id);
    if (!stream) return [];
    this.streams.delete(id);
    return [{ kind: "streamDestroyed", stream, reason }];
  }

  updateChannel(streamId: string, channel: string, content: Json): News[] {
    const stream = this.streams.get(streamId);
    const changes = stream?.updateChannel(channel, content) ?? [];
    return stream && changes.length > 0 ? [{ kind: "streamChanged", stream, changes }] : [];
  }

  rename(streamId: string, name: string): News[] {
    const stream = this.streams.get(streamId);
    const changes = stream?.rename(name) ?? [];
    return stream && changes.length > 0 ? [{ kind: "streamChanged", stream, changes }] : [];
  }

  /** A signal; from nobody if the server itself sent it. */
  signal(from: string, content: Json): News[] {
    if (from === "") return [{ kind: "signal", from: null, content }];
    const connection = this.connections.get(from);
    if (connection) return [{ kind: "signal", from: connection, content }];
    this.#hold({ connectionId: from, signal: content });
    return [];
  }

  #hold(held: Held): void {
    this.#held.push(held);
    if (this.#held.length > MAX_HELD) this.#held.shift();
  }
}
