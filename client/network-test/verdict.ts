// What the numbers mean, in plain words.

import type { Outcome, Quality } from "./measure.js";
import type { Way } from "./ways.js";

export type Grade = "good" | "fair" | "poor";

export interface Tried {
  readonly way: Way;
  readonly outcome: Outcome;
}

/** Limits of what people notice in a call: ITU-T G.114 for delay, experience for the others. */
const GOOD = { roundTripMs: 200, loss: 0.01, jitterMs: 30 };
const FAIR = { roundTripMs: 400, loss: 0.05, jitterMs: 60 };

export function grade({ roundTripMs, loss, jitterMs }: Quality): Grade {
  const within = (limit: typeof GOOD) =>
    roundTripMs <= limit.roundTripMs && loss <= limit.loss && jitterMs <= limit.jitterMs;
  if (within(GOOD)) return "good";
  return within(FAIR) ? "fair" : "poor";
}

/** The headline and what to do, for all that was tried. */
export function verdict(tried: readonly Tried[]): { readonly grade: Grade | "none"; readonly title: string; readonly advice: string } {
  const working = tried.flatMap(({ way, outcome }) => (outcome.kind === "works" ? [{ way, quality: outcome.quality }] : []));
  const best = working[0];
  if (!best) {
    return {
      grade: "none",
      title: "Calls will not work on this network.",
      advice:
        "You reach the server, but sound and video do not get through. A firewall or VPN is the usual reason: try another network, such as a phone's hotspot, or show this page to whoever runs your network.",
    };
  }
  const how = grade(best.quality);
  const detour =
    best.way.id === "udp"
      ? ""
      : " The direct way over UDP is blocked on this network, so calls take a detour, which can cost some quality. Whoever runs your network could open UDP to this server.";
  if (how === "good") return { grade: how, title: "Your network is ready for calls.", advice: `Sound and video should be fine.${detour}` };
  const because = reasons(best.quality);
  const advice = `${because} Move closer to your Wi-Fi or use a cable, and end downloads and other video on this network.${detour}`;
  return how === "fair"
    ? { grade: how, title: "Calls will work, but not always well.", advice }
    : { grade: how, title: "Calls will be difficult on this network.", advice };
}

/** What is not good. */
function reasons({ roundTripMs, loss, jitterMs }: Quality): string {
  const found = [
    ...(roundTripMs > GOOD.roundTripMs ? ["answers take long"] : []),
    ...(loss > GOOD.loss ? ["some of what is sent gets lost"] : []),
    ...(jitterMs > GOOD.jitterMs ? ["what arrives comes unevenly"] : []),
  ];
  const text = found.join(", and ");
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** One line about one way. */
export function describe({ outcome }: Tried): string {
  switch (outcome.kind) {
    case "absent":
      return "Not offered by this server";
    case "blocked":
      return "Blocked on this network";
    case "works": {
      const { roundTripMs, loss, jitterMs, upBps, downBps } = outcome.quality;
      const up = upBps === undefined ? "" : ` · up about ${rate(upBps)}`;
      return `Works · ${Math.round(roundTripMs)} ms there and back · ${percent(loss)} lost · ${Math.round(jitterMs)} ms uneven${up} · down at least ${rate(downBps)}`;
    }
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

function rate(bps: number): string {
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`;
}
