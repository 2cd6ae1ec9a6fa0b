// A client of one session over a websocket: just enough of one to be signalled to, muted, thrown out.

import { randomUUID } from "node:crypto";

import WebSocket from "ws";

import { eventually } from "../browser/support/parlor.mjs";

const SUBSCRIBE = 0;
const MESSAGE = 2;
const CONNECT = 3;
const STATUS = 9;

export class Participant {
  /** Everything the server said, in order: `{from, method, path, reason, content}`. */
  events = [];
  id = randomUUID();

  #socket;
  #symphony;
  #base;
  #replies = new Map();

  /** Joins a session. */
  static async join(parlor, sessionId, token) {
    const response = await fetch(`${parlor.url}/session/${sessionId}?extended=true`, {
      headers: { Accept: "application/json", "X-OPENTOK-AUTH": token },
    });
    const [info] = await response.json();
    const participant = new Participant();
    await participant.#open(info, `/v2/partner/${parlor.api_key}/session/${sessionId}`);
    const content = { userAgent: "test", clientVersion: "js-2.35.2", capabilities: [] };
    participant.state = await participant.request("create", `/connection/${participant.id}`, content, {
      "X-TB-TOKEN-AUTH": token,
    });
    return participant;
  }

  /** Publishes sound and pictures; returns the stream id. */
  async publish(name) {
    const id = randomUUID();
    await this.request("create", `/stream/${id}`, {
      id,
      name,
      publisherAudioFallbackEnabled: false,
      subscriberAudioFallbackEnabled: true,
      channel: [
        { id: "audio1", type: "audio", active: true },
        { id: "video1", type: "video", active: true, source: "camera", width: 640, height: 480, frameRate: 30 },
      ],
      e2ee: false,
      customProperties: {},
      minBitrate: 300_000,
    });
    return id;
  }

  /** Waits for an event of this method whose path starts with `path`, and takes it. */
  event(method, path) {
    return eventually(`${method} ${path}`, () => {
      const at = this.events.findIndex((event) => event.method === method && event.path.startsWith(path));
      return at >= 0 && this.events.splice(at, 1)[0];
    });
  }

  /** Asks for something; returns what the server answers, and throws if it refuses. */
  async request(method, path, content, headers = {}) {
    const transaction = randomUUID();
    const answer = new Promise((resolve) => this.#replies.set(transaction, resolve));
    const payload = JSON.stringify({ method, uri: this.#base + path, content });
    const all = { "TRANSACTION-ID": transaction, "X-TB-FROM-ADDRESS": this.id, ...headers };
    this.#send(MESSAGE, [this.#symphony], all, payload);
    const frame = await answer;
    if (frame.headers.STATUS !== "200") throw new Error(`${method} ${path}: ${frame.headers.STATUS}`);
    return frame.payload && JSON.parse(frame.payload);
  }

  leave() {
    this.#socket.terminate();
  }

  async #open(info, base) {
    this.#symphony = info.symphony_address;
    this.#base = base;
    this.#socket = new WebSocket(`${info.messaging_url}?socketId=${randomUUID()}&attempt=${randomUUID()}`);
    this.#socket.on("message", (data) => this.#receive(decode(data)));
    await new Promise((resolve, reject) => this.#socket.once("open", resolve).once("error", reject));
    this.#send(CONNECT, [], { uniqueId: this.id, "TRANSACTION-ID": randomUUID() });
    this.#send(SUBSCRIBE, [base], {});
  }

  #receive({ kind, headers, payload }) {
    const transaction = headers["TRANSACTION-ID"];
    if (kind === STATUS) return this.#replies.get(transaction)?.({ headers, payload });
    if (kind !== MESSAGE) return;
    const { method, uri, reason, content } = JSON.parse(payload);
    const from = headers["X-TB-FROM-ADDRESS"];
    this.events.push({ from, method, path: uri.slice(this.#base.length), reason, content });
    this.#send(STATUS, [from], { "TRANSACTION-ID": transaction, "X-TB-FROM-ADDRESS": this.id });
  }

  #send(kind, addresses, headers, payload = "") {
    this.#socket.send(encode(kind, addresses, Object.entries(headers), payload));
  }
}

/** One Rumor frame. */
function encode(kind, addresses, headers, payload) {
  const text = (string) => {
    const bytes = Buffer.from(string);
    return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
  };
  const body = Buffer.concat([
    Buffer.from([0, 0, kind, addresses.length]),
    ...addresses.map(text),
    Buffer.from([headers.length]),
    ...headers.flat().map(text),
    Buffer.from(payload),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

function decode(bytes) {
  let at = 6;
  const byte = () => bytes[at++];
  const text = () => {
    const start = at + 2;
    at = start + bytes.readUInt16BE(at);
    return bytes.toString("utf8", start, at);
  };
  const kind = byte();
  for (let count = byte(); count > 0; count -= 1) text();
  const headers = {};
  for (let count = byte(); count > 0; count -= 1) headers[text()] = text();
  return { kind, headers, payload: bytes.toString("utf8", at) };
}
