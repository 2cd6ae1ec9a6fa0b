// The ways on which media can travel between this browser and the server, and how one of them is
// tried alone: everything else is taken out of what both sides offer each other.

import { fetchSessionInfo, type SessionInfo } from "../src/bootstrap.js";
import type { SessionWorld } from "../src/join.js";
import { object, parseJson } from "../src/messages.js";
import { Link } from "../src/signaling.js";

export interface Way {
  readonly id: "udp" | "tcp" | "relay-udp" | "relay-tcp" | "relay-tls";
  /** What people call it. */
  readonly name: string;
  /** Transport of the server's candidates that stay. */
  readonly candidates: "udp" | "tcp" | "all";
  /** Whether this relay of the server's is the one to use; absent where none is. */
  readonly relay?: (url: string) => boolean;
}

export const WAYS: readonly Way[] = [
  { id: "udp", name: "Directly, over UDP", candidates: "udp" },
  { id: "tcp", name: "Directly, over TCP", candidates: "tcp" },
  {
    id: "relay-udp",
    name: "Through a relay, over UDP",
    candidates: "all",
    relay: (url) => url.startsWith("turn:") && !/transport=tcp/i.test(url),
  },
  {
    id: "relay-tcp",
    name: "Through a relay, over TCP",
    candidates: "all",
    relay: (url) => url.startsWith("turn:") && /transport=tcp/i.test(url),
  },
  {
    id: "relay-tls",
    name: "Through a relay, over TLS like a web page",
    candidates: "all",
    relay: (url) => url.startsWith("turns:"),
  },
];

/** A session's world in which there is only one way. */
export class OneWay implements SessionWorld {
  readonly #way: Way;
  /** Whether the server offers this way; undefined until it has said so. */
  #offered: boolean | undefined;

  constructor(way: Way) {
    this.#way = way;
  }

  /** Whether the server has said that it does not offer this way. */
  isAbsent(): boolean {
    return this.#offered === false;
  }

  fetchInfo: SessionWorld["fetchInfo"] = async (request) => {
    const info = await fetchSessionInfo(request);
    const { relay } = this.#way;
    const iceServers = relay ? relays(info, relay) : [];
    if (relay) this.#offered = iceServers.length > 0;
    return { ...info, iceServers, relayOnly: relay !== undefined };
  };

  openLink: SessionWorld["openLink"] = async (options, handlers) => {
    const link = new Link(options, {
      message: (from, payload) => handlers.message(from, this.#narrow(payload)),
      reconnecting: () => handlers.reconnecting(),
      reconnected: () => handlers.reconnected(),
      closed: () => handlers.closed(),
    });
    await link.open();
    return link;
  };

  /** Takes candidates of other ways out of the server's descriptions. */
  #narrow(payload: string): string {
    const { candidates, relay } = this.#way;
    if (candidates === "all") return payload;
    const message = object(parseJson(payload));
    const content = object(message?.content);
    if (!message || typeof content?.sdp !== "string") return payload;
    const sdp = onlyCandidates(content.sdp, candidates);
    if (!relay) this.#offered = /^a=candidate:/m.test(sdp);
    return JSON.stringify({ ...message, content: { ...content, sdp } });
  }
}

/** A description whose candidates are all of one transport. */
export function onlyCandidates(sdp: string, transport: "udp" | "tcp"): string {
  const fits = (line: string) =>
    !line.startsWith("a=candidate:") || line.split(" ")[2]?.toLowerCase() === transport;
  return sdp.split("\r\n").filter(fits).join("\r\n");
}

function relays({ iceServers }: SessionInfo, fits: (url: string) => boolean): RTCIceServer[] {
  return iceServers.flatMap((server) => {
    const urls = [server.urls].flat().filter(fits);
    return urls.length > 0 ? [{ ...server, urls }] : [];
  });
}
