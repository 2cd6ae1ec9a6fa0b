// One session as an application sees it: connect, publish, subscribe, signal, moderate.

import { freezeProxyUrl } from "./bootstrap.js";
import { capabilitiesOf, denied, type Capabilities } from "./capabilities.js";
import type { SessionContext } from "./context.js";
import { OTError, asError, notConnected, refusal, type Completion, type Refused } from "./errors.js";
import { Emitter, report } from "./events.js";
import { browserWorld, join, type Entrance, type SessionWorld } from "./join.js";
import { parseConnection, parseMessage, parseStream, type Json, type Message, type Outgoing, type Uris } from "./messages.js";
import type { Connection, Stream } from "./model.js";
import { Publisher, reason as refusedBecause, type PublisherProperties } from "./publisher.js";
import { Roster, type News } from "./roster.js";
import type { RequestOptions, Transport } from "./signaling.js";
import { checkSignal, type Signal } from "./signal.js";
import { Subscriber, type SubscriberProperties } from "./subscriber.js";
import { uuid } from "./uuid.js";
import type { Target } from "./view.js";

export interface SessionEvents {
  sessionConnected: object;
  sessionDisconnected: { readonly reason: string };
  sessionReconnecting: object;
  sessionReconnected: object;
  connectionCreated: { readonly connection: Connection };
  connectionDestroyed: { readonly connection: Connection; readonly reason: string };
  streamCreated: { readonly stream: Stream };
  streamDestroyed: { readonly stream: Stream; readonly reason: string };
  streamPropertyChanged: {
    readonly stream: Stream;
    readonly changedProperty: string;
    readonly oldValue: unknown;
    readonly newValue: unknown;
  };
  signal: SignalEvent;
  muteForced: { readonly active: boolean };
  archiveStarted: { readonly id: string; readonly name: string | undefined };
  archiveStopped: { readonly id: string };
}

export interface SignalEvent {
  /** `signal`, or `signal:` and the type of the signal. */
  readonly type: string;
  readonly data: unknown;
  /** Null if the server sent it. */
  readonly from: Connection | null;
}

type State =
  | { readonly name: "disconnected" }
  | { readonly name: "connecting"; readonly done: Completion }
  | { readonly name: "connected" | "reconnecting"; readonly joined: Joined };

/** Everything that lives as long as being connected does. */
interface Joined {
  readonly context: SessionContext;
  readonly link: Transport;
  readonly roster: Roster;
}

export class Session extends Emitter<SessionEvents> {
  readonly apiKey: string;
  readonly sessionId: string;
  /** This client; undefined while disconnected. */
  connection: Connection | undefined;
  capabilities: Capabilities = capabilitiesOf([]);
  readonly #world: SessionWorld;
  readonly #publishers = new Map<string, Publisher>();
  readonly #subscribers = new Map<string, Subscriber>();
  #state: State = { name: "disconnected" };
  /** Later publishers start muted. */
  #muteOnEntry = false;
  /** What is to be told once our own connection is known. */
  #welcome: { done: Completion; news: News[]; muted: boolean } | undefined;

  constructor(apiKey: string, sessionId: string, world: SessionWorld = browserWorld) {
    super();
    freezeProxyUrl();
    this.apiKey = apiKey;
    this.sessionId = sessionId;
    this.#world = world;
  }

  /** OpenTok's word for it: `connected`, `connecting`, `reconnecting`, `disconnected`. */
  get currentState(): State["name"] {
    return this.#state.name;
  }

  isConnected(): boolean {
    return this.#state.name === "connected" || this.#state.name === "reconnecting";
  }

  connect(token: string, done: Completion = () => undefined): this {
    if (this.#state.name !== "disconnected") {
      done(new OTError("OT_CONNECT_FAILED", 1006, `The session is already ${this.#state.name}`));
      return this;
    }
    const connecting: State = { name: "connecting", done };
    this.#state = connecting;
    const { apiKey, sessionId } = this;
    const wanted = () => this.#state === connecting;
    join(this.#world, { apiKey, sessionId, token }, wanted).then(
      (entrance) => {
        if (entrance && wanted()) this.#enter(entrance, done);
        else entrance?.link.close();
      },
      (error: unknown) => {
        if (!wanted()) return;
        this.#state = { name: "disconnected" };
        done(asError(error, "OT_CONNECT_FAILED", 1006));
      },
    ).catch(report);
    return this;
  }

  disconnect(): void {
    if (this.#state.name === "connecting") {
      const { done } = this.#state;
      this.#state = { name: "disconnected" };
      done(new OTError("OT_CONNECT_FAILED", 1006, "The session was disconnected"));
    }
    this.#leave("clientDisconnected");
  }

  /** Publishes; `publisher` may also be where to put a new one. */
  publish(publisher: Publisher | Target, second?: PublisherProperties | Completion, third?: Completion): Publisher {
    const properties = typeof second === "object" ? second : {};
    const done = (typeof second === "function" ? second : third) ?? (() => undefined);
    const published = publisher instanceof Publisher ? publisher : new Publisher(publisher, properties);
    const joined = this.#joined();
    if (!joined) done(notConnected());
    else if (!this.capabilities.publish) done(denied("publish", 1500));
    else if (published.publishing) done(new OTError("OT_INVALID_PARAMETER", 1011, "The publisher is already publishing"));
    else {
      const streamId = uuid();
      this.#publishers.set(streamId, published);
      published.onLost = (reason) => this.#unpublish(streamId, published, reason);
      void published.start(joined.context, streamId, this.#muteOnEntry, done);
    }
    return published;
  }

  unpublish(publisher: Publisher): void {
    const { streamId } = publisher;
    if (streamId !== undefined) this.#unpublish(streamId, publisher, "clientDisconnected");
  }

  subscribe(stream: Stream, target?: Target, third?: SubscriberProperties | Completion, fourth?: Completion): Subscriber | undefined {
    const properties = typeof third === "object" ? third : {};
    const done = typeof third === "function" ? third : fourth;
    const joined = this.#joined();
    if (!joined) {
      done?.(notConnected());
      return undefined;
    }
    const subscriber = new Subscriber(joined.context, stream, target, properties, done);
    const id = subscriber.widgetId;
    this.#subscribers.set(id, subscriber);
    subscriber.onLost = () => this.#unsubscribe(subscriber, "networkDisconnected");
    const own = this.#publishers.get(stream.streamId)?.mediaStream;
    if (own) subscriber.startLocal(own);
    else void subscriber.start();
    return subscriber;
  }

  unsubscribe(subscriber: Subscriber): void {
    this.#unsubscribe(subscriber, "clientDisconnected");
  }

  getSubscribersForStream(stream: Stream): Subscriber[] {
    return [...this.#subscribers.values()].filter((one) => one.stream === stream);
  }

  getPublisherForStream(stream: Stream): Publisher | undefined {
    return this.#publishers.get(stream.streamId);
  }

  signal(signal: Signal, done: Completion = () => undefined): void {
    const invalid = checkSignal(signal);
    if (invalid) {
      done(invalid);
      return;
    }
    const { type, data, to, retryAfterReconnect } = signal;
    const target = typeof to === "string" ? to : to?.connectionId;
    this.#ask("signal", done, (uris) => ({
      method: "signal",
      uri: uris.signal(uuid(), target),
      content: { ...(type === undefined ? {} : { type }), ...(data === undefined ? {} : { data }) },
    }), { retry: retryAfterReconnect !== false });
  }

  forceDisconnect(connection: Connection | string, done: Completion = () => undefined): void {
    if (!this.#permits("forceDisconnect", 1520, done)) return;
    const id = typeof connection === "string" ? connection : connection.connectionId;
    this.#ask("forceDisconnect", done, (uris) => ({ method: "delete", uri: uris.connection(id), content: {} }));
  }

  forceUnpublish(stream: Stream | string, done: Completion = () => undefined): void {
    if (!this.#permits("forceUnpublish", 1530, done)) return;
    const id = typeof stream === "string" ? stream : stream.streamId;
    this.#ask("forceUnpublish", done, (uris) => ({ method: "delete", uri: uris.stream(id), content: {} }));
  }

  forceMuteStream(stream: Stream, done: Completion = () => undefined): Promise<void> {
    return this.#mute(done, (uris) => ({
      method: "update",
      uri: uris.stream(stream.streamId),
      content: {},
      ...MUTE,
      active: true,
    }));
  }

  forceMuteAll(excluded: readonly Stream[] = [], done: Completion = () => undefined): Promise<void> {
    return this.#muteSession(true, excluded.map(({ streamId }) => streamId), done);
  }

  disableForceMute(done: Completion = () => undefined): Promise<void> {
    return this.#muteSession(false, [], done);
  }

  // Joining.

  /**
   * Our own connection may be in the state or come as an event of its own;
   * the application hears of being connected when it is known, and of the others after that.
   */
  #enter({ info, uris, connectionId, link, state, listen }: Entrance, done: Completion): void {
    const roster = new Roster();
    const context: SessionContext = {
      info,
      uris,
      connectionId,
      request: (message) => link.request(message),
      // The reply changes nothing, and a link that ended says so elsewhere.
      post: (method, uri, content) => void link.request({ method, uri, content }).catch(() => undefined),
      signalingUp: () => this.#state.name === "connected",
    };
    const joined: Joined = { context, link, roster };
    this.#state = { name: "connected", joined };
    globalThis.addEventListener?.("pagehide", this.#pageHidden);
    const news = roster.load(state);
    this.#welcome = { done, news, muted: state.muted };
    this.#greet();
    const whileJoined = <A extends unknown[]>(handle: (...told: A) => void) => (...told: A) => {
      if (this.#joined() === joined) handle(...told);
    };
    listen({
      message: whileJoined((from: string, payload: string) => this.#handleMessage(from, payload)),
      reconnecting: whileJoined(() => this.#handleReconnecting(joined)),
      reconnected: whileJoined(() => this.#handleReconnected(joined)),
      closed: whileJoined(() => this.#leave("networkDisconnected")),
    });
  }

  #greet(): void {
    const joined = this.#joined();
    const welcome = this.#welcome;
    const own = joined?.roster.connections.get(joined.context.connectionId);
    if (!joined || !welcome || !own) return;
    this.#welcome = undefined;
    this.connection = own;
    this.capabilities = capabilitiesOf(own.permissions);
    if (welcome.muted) this.#setMuteOnEntry(true);
    guarded(() => welcome.done());
    this.emit("sessionConnected", {});
    this.#tell(welcome.news);
  }

  // What the server says.

  #handleMessage(from: string, payload: string): void {
    const message = parseMessage(payload);
    const roster = this.#joined()?.roster;
    if (!message || !roster) return;
    const { resource, method, ids, content, reason = "clientDisconnected" } = message;
    const id = ids[resource] ?? "";
    switch (`${resource} ${method}`) {
      case "connection created": {
        const record = parseConnection({ ...content, id });
        if (record) this.#handleConnection(roster.addConnection(record));
        break;
      }
      case "connection deleted":
        if (id === this.#joined()?.context.connectionId) this.#leave(plainReason(reason));
        else this.#tell(roster.removeConnection(id, plainReason(reason)));
        break;
      case "stream created": {
        const record = parseStream(content, id);
        if (record) this.#tell(roster.addStream(record));
        break;
      }
      case "stream deleted":
        // With a source, only one of the ways the stream takes has ended.
        if (content.sourceStreamId === undefined) this.#handleStreamDeleted(id, plainReason(reason));
        break;
      case "stream updated":
        if (typeof content.name === "string") this.#tell(roster.rename(id, content.name));
        break;
      case "stream update":
        if (reason === "mute") this.#publishers.get(id)?.handleForcedMute(message);
        break;
      case "streamChannel updated":
        this.#tell(roster.updateChannel(ids.stream ?? "", ids.channel ?? "", content));
        break;
      case "subscriberChannel update":
      case "subscriberChannel updated":
        this.#subscribers.get(ids.subscriber ?? "")?.handleChannel(message);
        break;
      case "session update":
        if (reason === "mute") this.#setMuteOnEntry((message.body.active ?? content.active) === true);
        break;
      case "signal signal":
        this.#tell(roster.signal(from, content));
        break;
      case "archive created":
        this.emit("archiveStarted", { id, name: typeof content.name === "string" ? content.name : undefined });
        break;
      case "archive updated":
        if (content.status === "stopped") this.emit("archiveStopped", { id });
        break;
      default:
        this.#handleNegotiation(message, from);
    }
  }

  #handleConnection(news: News[]): void {
    if (this.#welcome) this.#welcome.news.push(...news);
    else this.#tell(news);
    this.#greet();
  }

  #handleNegotiation(message: Message, from: string): void {
    const { resource, ids } = message;
    if (resource !== "stream" && resource !== "subscriber") return;
    const subscriber = this.#subscribers.get(ids.subscriber ?? "");
    if (!subscriber) this.#publishers.get(ids.stream ?? "")?.handleNegotiation(message, from);
    // The server has lost us on this way, or given it up.
    else if (message.method === "deleted") this.#unsubscribe(subscriber, "networkDisconnected");
    else subscriber.handleNegotiation(message);
  }

  #handleStreamDeleted(streamId: string, reason: string): void {
    const publisher = this.#publishers.get(streamId);
    this.#publishers.delete(streamId);
    publisher?.handleRemoved(reason);
    this.#tell(this.#joined()?.roster.removeStream(streamId, reason) ?? []);
  }

  #handleReconnecting(joined: Joined): void {
    this.#state = { name: "reconnecting", joined };
    this.emit("sessionReconnecting", {});
  }

  #handleReconnected(joined: Joined): void {
    this.#state = { name: "connected", joined };
    this.emit("sessionReconnected", {});
    for (const publisher of this.#publishers.values()) publisher.handleSignalingResumed();
    for (const subscriber of this.#subscribers.values()) subscriber.handleSignalingResumed();
  }

  // What the application hears.

  #tell(news: readonly News[]): void {
    if (this.#welcome) {
      this.#welcome.news.push(...news);
      return;
    }
    for (const one of news) this.#tellOne(one);
  }

  #tellOne(news: News): void {
    switch (news.kind) {
      case "connectionCreated":
        this.emit("connectionCreated", { connection: news.connection });
        break;
      case "connectionDestroyed":
        this.emit("connectionDestroyed", { connection: news.connection, reason: news.reason });
        break;
      case "streamCreated": {
        const { stream } = news;
        // Our own stream is the publisher's news.
        const publisher = this.#publishers.get(stream.streamId);
        if (publisher) publisher.handleAnnounced(stream);
        else if (stream.connection !== this.connection) this.emit("streamCreated", { stream });
        break;
      }
      case "streamDestroyed":
        this.#tellStreamDestroyed(news.stream, news.reason);
        break;
      case "streamChanged":
        for (const subscriber of this.getSubscribersForStream(news.stream)) subscriber.handleStreamChanges(news.changes);
        for (const change of news.changes) this.emit("streamPropertyChanged", { stream: news.stream, ...change });
        break;
      case "signal": {
        const { type, data } = news.content;
        const name = typeof type === "string" && type !== "" ? `signal:${type}` : "signal";
        const event = { type: name, data, from: news.from };
        this.emit("signal", event);
        if (name !== "signal") (this as Emitter<Record<string, SignalEvent>>).emit(name, event);
        break;
      }
    }
  }

  /** Others' streams take their subscribers along, unless the application keeps them. */
  #tellStreamDestroyed(stream: Stream, reason: string): void {
    const subscribers = this.getSubscribersForStream(stream);
    const removeAll = () => {
      for (const subscriber of subscribers) {
        this.#subscribers.delete(subscriber.widgetId);
        subscriber.handleRemoved(reason);
      }
    };
    if (stream.connection === this.connection) removeAll();
    else this.emit("streamDestroyed", { stream, reason }, removeAll);
  }

  #setMuteOnEntry(active: boolean): void {
    this.#muteOnEntry = active;
    this.emit("muteForced", { active });
  }

  // Leaving.

  #unpublish(streamId: string, publisher: Publisher, reason: string): void {
    const joined = this.#joined();
    if (this.#publishers.get(streamId) !== publisher) return;
    this.#publishers.delete(streamId);
    joined?.context.post("delete", joined.context.uris.stream(streamId), {});
    publisher.handleRemoved(reason);
    this.#tell(joined?.roster.removeStream(streamId, reason) ?? []);
  }

  #unsubscribe(subscriber: Subscriber, reason: string): void {
    const context = this.#joined()?.context;
    if (!this.#subscribers.delete(subscriber.widgetId)) return;
    context?.post("delete", context.uris.subscriber(subscriber.streamId, subscriber.widgetId), {});
    subscriber.handleRemoved(reason);
  }

  #leave(reason: string): void {
    const joined = this.#joined();
    if (!joined) return;
    const unheard = this.#welcome;
    this.#welcome = undefined;
    this.#state = { name: "disconnected" };
    globalThis.removeEventListener?.("pagehide", this.#pageHidden);
    joined.link.close();
    const publishers = [...this.#publishers.values()];
    const subscribers = [...this.#subscribers.values()];
    this.#publishers.clear();
    this.#subscribers.clear();
    for (const publisher of publishers) publisher.handleRemoved(reason);
    for (const subscriber of subscribers) subscriber.handleRemoved(reason);
    this.connection = undefined;
    this.capabilities = capabilitiesOf([]);
    this.#muteOnEntry = false;
    if (unheard) guarded(() => unheard.done(new OTError("OT_CONNECT_FAILED", 1006, "The session ended while connecting")));
    else this.emit("sessionDisconnected", { reason });
  }

  /** A page that goes away says so: others need not wait for the grace period. */
  readonly #pageHidden = (): void => this.#leave("clientDisconnected");

  // Small parts.

  #joined(): Joined | undefined {
    return "joined" in this.#state ? this.#state.joined : undefined;
  }

  #permits(capability: keyof Capabilities, code: number, done: Completion): boolean {
    if (!this.#joined()) done(notConnected());
    else if (!this.capabilities[capability]) done(denied(capability, code));
    else return true;
    return false;
  }

  #ask(what: Refused, done: Completion, build: (uris: Uris) => Outgoing, options?: RequestOptions): void {
    const joined = this.#joined();
    if (!joined) {
      done(what === "signal" ? new OTError("OT_NOT_CONNECTED", 500, "The session is not connected") : notConnected());
      return;
    }
    joined.link.request(build(joined.context.uris), options).then(
      ({ ok, status, payload }) => done(ok ? undefined : refusal(what, status, refusedBecause(payload))),
      (error: unknown) => done(asError(error, "OT_NOT_CONNECTED", 1010)),
    ).catch(report);
  }

  #muteSession(active: boolean, exclusion: readonly string[], done: Completion): Promise<void> {
    return this.#mute(done, (uris) => ({ method: "update", uri: uris.session, content: {}, ...MUTE, active, exclusion }));
  }

  /** Moderation by mute also answers with a promise. */
  #mute(done: Completion, build: (uris: Uris) => Outgoing): Promise<void> {
    return new Promise((resolve, reject) => {
      const both: Completion = (error) => {
        if (error) reject(error);
        else resolve();
        done(error);
      };
      if (this.#permits("forceMute", 1540, both)) this.#ask("forceMute", both, build);
    });
  }
}

const MUTE: Json = { reason: "mute", channels: ["audio"], locked: false };

/** An application knows one word for a lost network. */
function plainReason(reason: string): string {
  return reason === "networkTimedout" ? "networkDisconnected" : reason;
}

function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    report(error);
  }
}
