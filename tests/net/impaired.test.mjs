// Calls over a line with little room, delay or losses, with the unmodified official client. What is
// asserted is what becomes of a call. How long it took is told, and asserted where it is promised.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { useCall } from "../browser/support/call.mjs";
import { eventually } from "../browser/support/parlor.mjs";
import { SERVER, SITE, addHost, addHostAfar, network } from "./support/network.mjs";

const MBIT = 1_000_000;

/**
 * The share of sound that is made up at most in the eleven seconds after a cut from 3 Mbit/s to 500 kbit/s: what left
 * before the server could know of it comes late, which is a second at most (`queue` in wire.py).
 */
const MADE_UP = 0.09;

/** A quarter of a minute in which there is hardly a pause. */
const SPEECH =
  "The quick brown fox jumps over the lazy dog, and then it runs back home through the forest, because it has " +
  "forgotten its keys. Nobody knows what a fox does with keys, but this one has three of them. One is for the door, " +
  "one is for the cellar, and the third one is for a chest that nobody has ever opened.";

let near;
let afar;
let browser;
const call = useCall(
  network(() => {
    const server = addHost("server", SERVER.v4);
    near = addHost("near", "203.0.113.30");
    afar = addHostAfar("afar");
    return {
      within: server.within,
      http: `${SERVER.v4}:8080`,
      media: `${SERVER.v4}:3478`,
      site: SITE.v4,
      browser: () => near.browser(),
    };
  }),
);

before(async () => {
  browser = await afar.browser();
});

afterEach(() => afar.line({}));

after(async () => {
  await browser?.close();
  afar.unplug();
});

/** Ana is near the server, Ben is at the other end of the line. */
async function pair(anas = call.browser, bens = browser) {
  const sessionId = await call.createSession();
  const ana = await call.join(sessionId, "ana", "publisher", { browser: anas });
  const ben = await call.join(sessionId, "ben", "publisher", { browser: bens });
  return [ana, ben];
}

/**
 * A browser on each side of the line in whose microphone somebody speaks. The tone of fake devices is music to Opus,
 * which then sends no copies of its own (in-band FEC, RFC 6716, 2.1.7).
 */
async function speaking(t) {
  const folder = mkdtempSync(join(tmpdir(), "parlor-speech-"));
  const file = join(folder, "speech.wav");
  execFileSync("espeak-ng", ["-w", file, SPEECH]);
  const flags = [`--use-file-for-fake-audio-capture=${file}`];
  const browsers = await Promise.all([near, afar].map((host) => host.browser(flags)));
  t.after(async () => {
    await Promise.all(browsers.map((browser) => browser.close()));
    rmSync(folder, { recursive: true });
  });
  return browsers;
}

/** A picture that publishers send in three sizes. */
const large = { resolution: "1280x720", frameRate: 15 };

/** Waits until the picture is as wide as wanted; returns the milliseconds that took. */
async function width(page, stream, what, fits, ms = 60_000) {
  const begin = performance.now();
  await eventually(`a picture ${what}`, async () => fits((await page.call("received", stream)).width), ms);
  return Math.round(performance.now() - begin);
}

/**
 * What a subscriber got between two looks at its statistics, in words; the share of sound that was made up, and of its
 * packets that never came.
 */
function between(before, now) {
  const since = (kind, name) => now[kind][name] - before[kind][name];
  const concealed = since("audio", "concealedSamples") / since("audio", "totalSamplesReceived");
  const kbits = (8 * since("video", "bytesReceived")) / since("video", "timestamp");
  const lost = since("audio", "packetsLost") / since("audio", "packetsReceived");
  const text = [
    `video of ${kbits.toFixed()} kbit/s`,
    `${(100 * concealed).toFixed(2)} % of the sound made up`,
    `${(100 * lost).toFixed(2)} % of its packets lost for good`,
    `${since("video", "framesDecoded")} frames`,
    `${since("video", "freezeCount")} freezes of ${since("video", "totalFreezesDuration").toFixed(2)} s in all`,
  ].join(", ");
  return { concealed, gone: since("audio", "packetsLost"), lost, text };
}

test("all sizes of a publisher arrive, and a subscriber gets the one that it asks for", async () => {
  const [ana, ben] = await pair();
  const stream = await ben.publish(large);
  await ana.subscribe(stream);
  for (const wide of [1280, 320, 640]) {
    await ana.call("setPreferredResolution", stream, { width: wide, height: (wide * 9) / 16 });
    await width(ana, stream, `${wide} wide`, (width) => width === wide);
  }
  // What the server reports of each size comes back in the publisher's statistics.
  const sent = await eventually("reports of every size", async () => {
    const sent = await ben.call("sentVideo");
    return sent.length === 3 && sent.every(({ report }) => report) && sent;
  });
  for (const { report } of sent) assert.equal(report.packetsLost, 0);
});

test("a subscriber gets the frame rate that it asks for", async (t) => {
  const [ana, ben] = await pair();
  const stream = await ana.publish({ ...large, resolution: "640x480", frameRate: 30 });
  await ben.subscribe(stream);
  await ben.flowing(stream);
  const share = async () => {
    const count = async () => [
      Math.max(...(await ana.call("sentVideo")).map(({ framesEncoded }) => framesEncoded)),
      (await ben.call("received", stream)).frames,
    ];
    const [sent, got] = await count();
    return eventually("a hundred frames", async () => {
      const [sentNow, gotNow] = await count();
      return sentNow - sent >= 100 && (gotNow - got) / (sentNow - sent);
    });
  };
  const all = await share();
  await ben.call("setPreferredFrameRate", stream, 8);
  const few = await eventually("fewer frames", async () => {
    const few = await share();
    return few < 0.6 && few;
  }, 40_000);
  await ben.call("setPreferredFrameRate", stream, 30);
  const again = await eventually("all frames again", async () => {
    const again = await share();
    return again > 0.8 && again;
  }, 40_000);
  t.diagnostic(`of the frames that were encoded, ${all.toFixed(2)}, then ${few.toFixed(2)}, then ${again.toFixed(2)}`);
});

test("where 3 Mbit/s become 500 kbit/s, a smaller picture comes, and the large one comes back", async (t) => {
  const room = (rate) => ({ down: { rate, delay: 0.025 }, up: { delay: 0.025 } });
  const [ana, ben] = await pair();
  await afar.line(room(3 * MBIT));
  assert.equal(await ana.call("publishNoise"), null);
  const stream = await ana.call("streamId");
  await ben.subscribe(stream);
  await width(ben, stream, "at least 960 wide", (width) => width >= 960);
  const begin = await ben.call("inbound", stream);
  const frames = async () => (await ben.call("inbound", stream)).video.framesDecoded - begin.video.framesDecoded;
  await eventually("some of it", async () => (await frames()) > 60, 60_000);
  await width(ben, stream, "still at least 960 wide", (width) => width >= 960);

  const before = await ben.call("inbound", stream);
  await afar.line(room(MBIT / 2));
  const smaller = await width(ben, stream, "of a smaller size", (width) => width > 0 && width < 960, 3_000);
  // As long as it takes to see that it stays so.
  const end = performance.now() + 10_000;
  while (performance.now() < end) {
    const { width } = await ben.call("received", stream);
    assert.ok(width > 0 && width < 960, `${width} wide`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  await ben.flowing(stream);
  const meanwhile = between(before, await ben.call("inbound", stream));

  const { down } = await afar.line(room(3 * MBIT));
  const larger = await width(ben, stream, "at least 960 wide again", (width) => width >= 960, 15_000);
  await ben.flowing(stream);
  t.diagnostic(`at first ${between(begin, before).text}`);
  t.diagnostic(`smaller after ${smaller} ms, large again after ${larger} ms`);
  t.diagnostic(`meanwhile ${meanwhile.text}, ${down.dropped} packets dropped at the bottleneck`);
  assert.equal(meanwhile.gone, 0, meanwhile.text);
  assert.ok(meanwhile.concealed < MADE_UP, meanwhile.text);
});

test("a call goes on with 5 % loss and 50 ms of delay each way, and hardly any of it is heard or seen", async (t) => {
  const [ana, ben] = await pair(...(await speaking(t)));
  await afar.line({ down: { delay: 0.05 }, up: { delay: 0.05 } });
  const { anas, bens } = await call.talk(ana, ben);
  const ways = [
    { way: "towards the subscriber", who: ben, stream: anas },
    { way: "from the publisher", who: ana, stream: bens },
  ];
  const look = () => Promise.all(ways.map(({ who, stream }) => who.call("inbound", stream)));
  // What is made up in the beginning is not on account of the network.
  await eventually("a second without sound that is made up", async () => {
    const before = await look();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const now = await look();
    return now.every(({ audio }, index) => audio.concealedSamples === before[index].audio.concealedSamples);
  }, 30_000);
  const before = await look();
  await afar.line({ down: { delay: 0.05, loss: 0.05 }, up: { delay: 0.05, loss: 0.05 } });
  await Promise.all(ways.map(({ who, stream }) => who.call("watch", stream)));
  await new Promise((resolve) => setTimeout(resolve, 30_000));
  const freezes = await Promise.all(ways.map(({ who, stream }) => who.call("longestFreeze", stream)));
  const now = await look();
  await Promise.all(ways.map(({ who, stream }) => who.flowing(stream)));
  for (const [index, { way }] of ways.entries()) {
    const got = between(before[index], now[index]);
    const text = `${way}: ${got.text}, the longest ${freezes[index].toFixed(2)} s without a frame`;
    t.diagnostic(text);
    assert.ok(got.concealed < 0.005, text);
    assert.ok(got.lost < 0.02, text);
    assert.ok(freezes[index] < 1, text);
  }
});

test("where only the audio fits, video is announced to stop, stops, and comes back", async () => {
  const [ana, ben] = await pair();
  const stream = await ana.publish();
  await ben.subscribe(stream);
  await ben.flowing(stream);

  await afar.line({ down: { rate: 60_000 } });
  await ben.event("videoDisableWarning", { id: stream }, 60_000);
  await ben.event("videoDisabled", { id: stream, reason: "quality" }, 60_000);
  await ben.flowing(stream, ["audio"]);

  await afar.line({});
  await ben.event("videoEnabled", { id: stream, reason: "quality" }, 60_000);
  await ben.flowing(stream);
  assert.deepEqual(await ben.events("subscriber:destroyed"), []);
});

test("on one peer connection each subscription's video stops as its stream allows", async () => {
  const sessionId = await call.createSession();
  const [ana, cleo] = await Promise.all(["ana", "cleo"].map((name) => call.join(sessionId, name)));
  const initOptions = { singlePeerConnection: true };
  const ben = await call.join(sessionId, "ben", "subscriber", { browser, initOptions });
  const keeps = await ana.publish({ audioSource: null, audioFallback: { subscriber: false } });
  const stops = await cleo.publish();
  await Promise.all([ben.subscribe(keeps), ben.subscribe(stops)]);
  await Promise.all([ben.flowing(keeps, ["video"]), ben.flowing(stops)]);

  await afar.line({ down: { rate: 90_000 } });
  await ben.event("videoDisableWarning", { id: stops }, 60_000);
  await ben.event("videoDisabled", { id: stops, reason: "quality" }, 60_000);
  await ben.flowing(stops, ["audio"]);

  await afar.line({});
  await ben.event("videoEnabled", { id: stops, reason: "quality" }, 60_000);
  await Promise.all([ben.flowing(keeps, ["video"]), ben.flowing(stops)]);
  const stopped = await ben.events("videoDisabled");
  assert.deepEqual(stopped.map(({ id }) => id), [stops]);
  assert.deepEqual(await ben.call("peerStates"), ["connected"]);
});
