// What the network test makes of what it finds.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome, Quality } from "../network-test/measure.js";
import { describe, grade, verdict, type Tried } from "../network-test/verdict.js";
import { onlyCandidates, WAYS } from "../network-test/ways.js";

const FINE: Quality = { roundTripMs: 20, loss: 0, jitterMs: 5, upBps: 2_400_000, downBps: 900_000 };
const BLOCKED: Outcome = { kind: "blocked" };

function tried(...outcomes: Outcome[]): Tried[] {
  return outcomes.map((outcome, index) => ({ way: WAYS[index]!, outcome }));
}

test("only candidates of one transport stay in a description", () => {
  const udp = "a=candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host";
  const tcp = "a=candidate:2 1 TCP 2128609279 192.0.2.1 443 typ host tcptype passive";
  const sdp = ["v=0", udp, tcp, "a=mid:0", ""].join("\r\n");
  assert.equal(onlyCandidates(sdp, "udp"), ["v=0", udp, "a=mid:0", ""].join("\r\n"));
  assert.equal(onlyCandidates(sdp, "tcp"), ["v=0", tcp, "a=mid:0", ""].join("\r\n"));
});

test("a way is as good as the worst of its figures", () => {
  assert.equal(grade(FINE), "good");
  assert.equal(grade({ ...FINE, jitterMs: 45 }), "fair");
  assert.equal(grade({ ...FINE, loss: 0.2 }), "poor");
  assert.equal(grade({ ...FINE, roundTripMs: 700 }), "poor");
});

test("the verdict is about the best way that works, and tells of a detour", () => {
  const works = (quality: Quality): Outcome => ({ kind: "works", quality });
  assert.equal(verdict(tried(works(FINE))).title, "Your network is ready for calls.");
  assert.doesNotMatch(verdict(tried(works(FINE), BLOCKED)).advice, /detour/);
  const detour = verdict(tried(BLOCKED, works({ ...FINE, loss: 0.03 })));
  assert.equal(detour.grade, "fair");
  assert.match(detour.advice, /^Some of what is sent gets lost\. .*detour/);
  assert.equal(verdict(tried(BLOCKED, { kind: "absent" })).grade, "none");
});

test("each way has its line", () => {
  const [works, blocked, absent] = tried({ kind: "works", quality: FINE }, BLOCKED, { kind: "absent" }).map(describe);
  assert.equal(works, "Works · 20 ms there and back · 0 % lost · 5 ms uneven · up about 2.4 Mbit/s · down at least 900 kbit/s");
  assert.equal(blocked, "Blocked on this network");
  assert.equal(absent, "Not offered by this server");
});
