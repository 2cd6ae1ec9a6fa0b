// One logical connection to the server: a websocket, and another one whenever that is lost.
//
// A lost socket is resumed under the same socket id: the server replays what was not acknowledged,
// and requests without a reply are sent again with their old transaction ids. Neither side does
// anything twice.

import { OTError, notConnected } from "./errors.js";
import { parseJson, type Outgoing } from "./messages.js";
import { FrameType, decode, encode, frame, type Frame } from "./rumor.js";
import { uuid } from "./uuid.js";

/** Time without sending after which a PING is sent. The server counts on one every 2 s. */
const PING_AFTER_MS = 2_000;
/** Silence after which the socket is given up and resumed; what the official client waits. */
const SILENCE_MS = 5_900;
/** The same without resume, where giving up ends the session. */
const SILENCE_WITHOUT_RESUME_MS = 49_900;
/** Time in which a resume must succeed. The server keeps the state a little longer. */
const GIVE_UP_MS = 30_000;
/** Time for a websocket to open. */
const OPEN_MS = 15_000;
/** Wait before the second attempt to resume; doubles up to `BACKOFF_MAX_MS`. The first is immediate. */
const BACKOFF_MS = 100;
const BACKOFF_MAX_MS = 2_000;
/** How long a received transaction id is remembered: longer than the server replays. */
const REMEMBER_MS = 40_000;
/** Requests without a reply that are kept; more are refused, so that a long outage cannot eat memory. */
const MAX_PENDING = 1_000;

/** Close codes that say: this socket is unknown here, do not come back. */
const GONE: ReadonlySet<number> = new Set([1003, 1011]);

/** Close code for a socket that is given up for another one. */
const ABANDONED = 4010;

/** The part of `WebSocket` in use, so that tests bring their own. */
export interface Socket {
  binaryType: string;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onerror: (() => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

/** Where to connect, and as whom. */
export interface LinkOptions {
  readonly url: string;
  readonly connectionId: string;
  /** Address of the server's session logic: all requests go there. */
  readonly symphonyAddress: string;
  /** What to subscribe to: the session's URI. */
  readonly topic: string;
  /** Whether a lost socket can be resumed. */
  readonly resumable: boolean;
  readonly openSocket?: (url: string) => Socket;
}

/** What a link tells its owner. */
export interface LinkHandlers {
  message(from: string, payload: string): void;
  reconnecting(): void;
  reconnected(): void;
  /** The link is over and was not closed by its owner. */
  closed(): void;
}

/** The server's answer to one request. */
export interface Reply {
  readonly status: number;
  readonly ok: boolean;
  /** Parsed JSON, or nothing. */
  readonly payload: unknown;
}

export interface RequestOptions {
  readonly headers?: Record<string, string>;
  /** False: fail rather than be sent again after a resume. Default true. */
  readonly retry?: boolean;
}

/** What session code needs of a link; tests have their own. */
export interface Transport {
  request(message: Outgoing, options?: RequestOptions): Promise<Reply>;
  close(): void;
}

interface Pending {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly retry: boolean;
  resolve(reply: Reply): void;
  reject(error: OTError): void;
}

/**
 * `opening` waits for the first socket, `up` has one, `resuming` waits for the first frame of
 * another one, `closed` is final.
 */
type Phase = "opening" | "up" | "resuming" | "closed";

type Timer = ReturnType<typeof setTimeout>;
type TimerName = "ping" | "silence" | "open" | "retry" | "giveUp";

export class Link implements Transport {
  readonly #options: LinkOptions;
  readonly #handlers: LinkHandlers;
  readonly #socketId = uuid();
  readonly #pending = new Map<string, Pending>();
  /** Transaction id to the time it was received, oldest first. */
  readonly #received = new Map<string, number>();
  readonly #timers = new Map<TimerName, Timer>();
  #phase: Phase = "opening";
  #socket: Socket | undefined;
  #socketOpen = false;
  #backoff_ms = 0;
  #opened: { resolve(): void; reject(error: OTError): void } | undefined;

  constructor(options: LinkOptions, handlers: LinkHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  /** Opens the first socket. Rejects when that fails: there is nothing to resume yet. */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#opened = { resolve, reject };
      this.#connect();
    });
  }

  /** Sends a request and waits for its reply, across resumes. Rejects when the link ends first. */
  request(message: Outgoing, { headers = {}, retry = true }: RequestOptions = {}): Promise<Reply> {
    if (this.#phase === "closed") return Promise.reject(notConnected());
    if (this.#phase === "resuming" && !retry) return Promise.reject(unsent());
    if (this.#pending.size >= MAX_PENDING) return Promise.reject(unsent());
    const id = uuid();
    const bytes = encode(
      frame(FrameType.Message, {
        addresses: [this.#options.symphonyAddress],
        headers: {
          ...headers,
          "Content-Type": "application/x-raptor+v2",
          "TRANSACTION-ID": id,
          "X-TB-FROM-ADDRESS": this.#options.connectionId,
        },
        payload: JSON.stringify(message),
      }),
    );
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { bytes, retry, resolve, reject });
      if (this.#socketOpen) this.#write(bytes);
    });
  }

  /** Leaves for good. */
  close(): void {
    if (this.#phase === "closed") return;
    this.#send(frame(FrameType.Disconnect, { headers: { reconnect: "" } }));
    this.#end(1000);
  }

  #connect(): void {
    const resume = this.#phase === "resuming";
    const query = new URLSearchParams();
    if (this.#options.resumable) {
      query.set("socketId", this.#socketId);
      if (resume) query.set("reconnect", "true");
      query.set("attempt", uuid());
    }
    const { url, openSocket = browserSocket } = this.#options;
    const socket = openSocket(query.size ? `${url}${url.includes("?") ? "&" : "?"}${query}` : url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    // A socket that was replaced has nothing to say any more: what it still brings is replayed.
    const current = (run: () => void) => () => {
      if (this.#socket === socket) run();
    };
    socket.onopen = current(() => this.#handleOpen());
    socket.onmessage = ({ data }) => current(() => this.#handleData(data))();
    socket.onclose = ({ code }) => current(() => this.#handleClose(code))();
    socket.onerror = current(() => this.#handleClose(1006));
    this.#after("open", OPEN_MS, () => this.#handleClose(1006));
  }

  #handleOpen(): void {
    this.#clear("open");
    this.#socketOpen = true;
    this.#hear();
    if (this.#phase === "opening") {
      this.#phase = "up";
      const { connectionId, symphonyAddress, topic } = this.#options;
      this.#send(
        frame(FrameType.Connect, {
          headers: {
            uniqueId: connectionId,
            "TRANSACTION-ID": uuid(),
            notifyDisconnectAddress: symphonyAddress,
          },
        }),
      );
      this.#send(frame(FrameType.Subscribe, { addresses: [topic] }));
      this.#opened?.resolve();
    } else {
      // The server learns from this at once that somebody is there, and answers: see #handleData.
      this.#send(frame(FrameType.Ping));
    }
    for (const { bytes } of this.#pending.values()) this.#write(bytes);
  }

  #handleData(data: unknown): void {
    const received = data instanceof ArrayBuffer ? decode(data) : undefined;
    if (!received) return;
    this.#hear();
    if (this.#phase === "resuming") {
      this.#phase = "up";
      this.#backoff_ms = 0;
      this.#clear("giveUp");
      this.#handlers.reconnected();
    }
    if (received.type === FrameType.Status) this.#handleStatus(received);
    if (received.type === FrameType.Message) this.#handleMessage(received);
  }

  #handleStatus({ headers, payload }: Frame): void {
    const id = headers.get("TRANSACTION-ID") ?? "";
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    const text = headers.get("STATUS") ?? "";
    pending.resolve({ status: Number(text) || 0, ok: text.startsWith("2"), payload: parseJson(payload) });
  }

  #handleMessage({ headers, payload }: Frame): void {
    const from = headers.get("X-TB-FROM-ADDRESS") ?? "";
    const id = headers.get("TRANSACTION-ID");
    if (id !== undefined) {
      this.#send(
        frame(FrameType.Status, {
          addresses: [from],
          headers: { "TRANSACTION-ID": id, "X-TB-FROM-ADDRESS": this.#options.connectionId },
        }),
      );
      if (!this.#remember(id)) return;
    }
    this.#handlers.message(from, payload);
  }

  /** Whether this transaction is new. */
  #remember(id: string): boolean {
    const now = Date.now();
    for (const [old, at] of this.#received) {
      if (now - at < REMEMBER_MS) break;
      this.#received.delete(old);
    }
    if (this.#received.has(id)) return false;
    this.#received.set(id, now);
    return true;
  }

  #handleClose(code: number): void {
    if (this.#phase === "opening") {
      this.#end(1000);
      this.#opened?.reject(new OTError("OT_SOCKET_CLOSE_FALLBACK_CODE", 4020, "The server could not be reached"));
    } else if (!this.#options.resumable || GONE.has(code)) {
      this.#end(1000);
      this.#handlers.closed();
    } else {
      this.#resume();
    }
  }

  #handleSilence(): void {
    this.#send(frame(FrameType.Disconnect, { headers: { reconnect: "1" } }));
    this.#handleClose(ABANDONED);
  }

  #resume(): void {
    const again = this.#phase === "resuming";
    this.#phase = "resuming";
    // Also one that is still opening: it must not reach the server after its successor.
    const socket = this.#socket;
    this.#drop();
    socket?.close(ABANDONED);
    if (!again) {
      this.#after("giveUp", GIVE_UP_MS, () => {
        this.#end(1000);
        this.#handlers.closed();
      });
      for (const [id, { retry, reject }] of this.#pending) {
        if (retry) continue;
        this.#pending.delete(id);
        reject(unsent());
      }
      this.#handlers.reconnecting();
      // A handler may have closed us.
      if (this.#phase !== "resuming") return;
    }
    // The first attempt needs no timer: in a background tab that could take a minute.
    if (this.#backoff_ms === 0) this.#connect();
    else this.#after("retry", this.#backoff_ms, () => this.#connect());
    this.#backoff_ms = Math.min(Math.max(BACKOFF_MS, 2 * this.#backoff_ms), BACKOFF_MAX_MS);
  }

  #end(code: number): void {
    this.#phase = "closed";
    const socket = this.#socket;
    this.#drop();
    this.#clear("giveUp");
    socket?.close(code);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(notConnected());
  }

  /** Forgets the socket and its timers. */
  #drop(): void {
    this.#socket = undefined;
    this.#socketOpen = false;
    for (const name of ["ping", "silence", "open", "retry"] as const) this.#clear(name);
  }

  #hear(): void {
    const limit = this.#options.resumable ? SILENCE_MS : SILENCE_WITHOUT_RESUME_MS;
    this.#after("silence", limit, () => this.#handleSilence());
  }

  #send(one: Frame): void {
    if (this.#socketOpen) this.#write(encode(one));
  }

  #write(bytes: Uint8Array<ArrayBuffer>): void {
    this.#socket?.send(bytes);
    this.#after("ping", PING_AFTER_MS, () => this.#send(frame(FrameType.Ping)));
  }

  #after(name: TimerName, ms: number, run: () => void): void {
    this.#clear(name);
    this.#timers.set(name, setTimeout(run, ms));
  }

  #clear(name: TimerName): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

function unsent(): OTError {
  return new OTError("OT_NOT_CONNECTED", 500, "The connection to the server is interrupted");
}

function browserSocket(url: string): Socket {
  return new WebSocket(url) as unknown as Socket;
}
