// What one way is like: a small video goes to the server and comes back, for some seconds.

import { Publisher } from "../src/publisher.js";
import { Session } from "../src/session.js";
import type { Stream } from "../src/model.js";
import type { Subscriber } from "../src/subscriber.js";
import { OneWay, type Way } from "./ways.js";

/** What `POST test/session` answers. */
export interface Invitation {
  readonly apiKey: string;
  readonly sessionId: string;
  readonly token: string;
  readonly url: string;
}

/** How good a way is. */
export interface Quality {
  /** To the server and back, in milliseconds. */
  readonly roundTripMs: number;
  /** Share lost on the way up and down together, 0 to 1. */
  readonly loss: number;
  /** How unevenly packets arrive, in milliseconds. */
  readonly jitterMs: number;
  /** What the browser believes it could send, in bits a second; undefined if it does not say. */
  readonly upBps: number | undefined;
  /** What it received, in bits a second. */
  readonly downBps: number;
}

export type Outcome =
  | { readonly kind: "works"; readonly quality: Quality }
  | { readonly kind: "blocked" }
  | { readonly kind: "absent" };

/** Until media flows on a way that works. */
const CONNECT_MS = 10_000;
/** How long it is measured then; estimates of a browser need some time to rise. */
const MEASURE_MS = 5_000;

/** Tries one way. Throws if not even signaling works. */
export async function measure(way: Way, invitation: Invitation, picture: MediaStreamTrack): Promise<Outcome> {
  const worlds = [new OneWay(way), new OneWay(way)] as const;
  const sessions = worlds.map((world) => new Session(invitation.apiKey, invitation.sessionId, world));
  const [sending, receiving] = sessions as [Session, Session];
  const publisher = new Publisher(undefined, {
    videoSource: picture,
    audioSource: null,
    insertDefaultUI: false,
  });
  try {
    await Promise.all(sessions.map((session) => connect(session, invitation.token)));
    if (worlds[0].isAbsent()) return { kind: "absent" };
    const subscribed = new Promise<Subscriber>((resolve, reject) => {
      receiving.on("streamCreated", ({ stream }) => {
        subscribe(receiving, stream).then(resolve, reject);
      });
    });
    const flows = Promise.all([publish(sending, publisher), subscribed]);
    const subscriber = await within(CONNECT_MS, flows).then(
      (both) => both?.[1],
      () => undefined,
    );
    if (worlds[0].isAbsent()) return { kind: "absent" };
    if (!subscriber) return { kind: "blocked" };
    return { kind: "works", quality: await quality(publisher, subscriber) };
  } finally {
    publisher.destroy();
    for (const session of sessions) session.disconnect();
  }
}

function connect(session: Session, token: string): Promise<void> {
  return new Promise((resolve, reject) => {
    session.connect(token, (error) => (error ? reject(error) : resolve()));
  });
}

/** Settles when packets leave. */
function publish(session: Session, publisher: Publisher): Promise<void> {
  return new Promise((resolve, reject) => {
    publisher.on("connected", () => resolve());
    publisher.on("streamDestroyed", ({ reason }) => reject(new Error(reason)));
    session.publish(publisher, (error) => {
      if (error) reject(error);
    });
  });
}

/** Settles when the picture is there. */
function subscribe(session: Session, stream: Stream): Promise<Subscriber> {
  return new Promise((resolve, reject) => {
    const subscriber = session.subscribe(stream, undefined, { insertDefaultUI: false }, (error) => {
      if (error || !subscriber) reject(error ?? new Error("not connected"));
      else resolve(subscriber);
    });
  });
}

/** What comes of it, or nothing if it takes longer. */
function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function quality(publisher: Publisher, subscriber: Subscriber): Promise<Quality> {
  const reports = async () => {
    const [sent] = await publisher.getRtcStatsReport();
    return [sent?.rtcStatsReport ?? new Map(), await subscriber.getRtcStatsReport()] as const;
  };
  const [before, begun] = [await reports(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, MEASURE_MS));
  const [after, seconds] = [await reports(), (performance.now() - begun) / 1000];
  const grown = (index: 0 | 1, type: string, field: string) =>
    sum(after[index], type, field) - sum(before[index], type, field);

  const lost = grown(0, "remote-inbound-rtp", "packetsLost") + grown(1, "inbound-rtp", "packetsLost");
  const total = grown(0, "outbound-rtp", "packetsSent") + grown(1, "inbound-rtp", "packetsReceived");
  const pair = [...entries(after[0], "candidate-pair")].find(({ nominated, state }) => nominated === true && state === "succeeded");
  return {
    roundTripMs: 1000 * number(pair?.currentRoundTripTime),
    loss: total > 0 ? Math.min(Math.max(lost / total, 0), 1) : 1,
    jitterMs: 1000 * Math.max(0, ...[...entries(after[1], "inbound-rtp")].map(({ jitter }) => number(jitter))),
    upBps: typeof pair?.availableOutgoingBitrate === "number" ? pair.availableOutgoingBitrate : undefined,
    downBps: (8 * grown(1, "inbound-rtp", "bytesReceived")) / seconds,
  };
}

type Entry = Record<string, unknown>;

function entries(report: RTCStatsReport | Map<string, Entry>, type: string): Entry[] {
  const found: Entry[] = [];
  report.forEach((entry: Entry) => {
    if (entry.type === type) found.push(entry);
  });
  return found;
}

function sum(report: RTCStatsReport | Map<string, Entry>, type: string, field: string): number {
  return entries(report, type).reduce((so, entry) => so + number(entry[field]), 0);
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
