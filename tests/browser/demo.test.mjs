// The demo page with our own client: the same call once, in two tabs.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { startBrowser } from "./support/browser.mjs";
import { eventually, startParlor } from "./support/parlor.mjs";

const out = fileURLToPath(new URL("out/", import.meta.url));
let parlor, browser, context;
let errors = [];

before(async () => {
  [parlor, browser] = await Promise.all([startParlor(), startBrowser()]);
  await mkdir(out, { recursive: true });
});

after(async () => {
  await browser?.close();
  const how = await parlor?.stop();
  assert.deepEqual(how, { code: 0, signal: null }, "SIGTERM ends the server cleanly");
});

afterEach(async () => {
  await context?.close();
  const seen = errors;
  errors = [];
  assert.deepEqual(seen, [], "no exception and no blocked resource in a page");
});

test("two people meet, see and hear each other, write, mute, and leave", async () => {
  context = await newContext();
  const ana = await join("Ana", "tea");
  await ana.getByText("Nobody else is here yet").waitFor();
  const ben = await join("Ben", "tea");

  for (const [page, other] of [[ana, "Ben"], [ben, "Ana"]]) {
    await moving(page, other);
    await hearing(page);
    assert.equal(await page.locator("#people li").count(), 2);
    assert.equal(await page.getByText("Nobody else is here yet").isVisible(), false);
  }

  await ana.getByLabel("Message", { exact: true }).fill("Shall I pour?");
  await ana.getByRole("button", { name: "Send" }).click();
  await ben.locator("#messages li", { hasText: "Shall I pour?" }).waitFor();
  assert.equal(await ben.locator("#messages li:has-text('Shall I pour?') b").textContent(), "Ana");
  await ana.locator("#messages li.own", { hasText: "Shall I pour?" }).waitFor();
  await ben.screenshot({ path: `${out}demo.png` });

  await ana.getByRole("button", { name: "Mute" }).click();
  await tile(ben, "Ana").getByText("muted").waitFor();
  await ana.getByRole("button", { name: "Unmute" }).click();
  await tile(ben, "Ana").getByText("muted").waitFor({ state: "hidden" });

  await ana.getByRole("button", { name: "Stop video" }).click();
  await ben.locator(".tile.dark[aria-label='Ana']").waitFor();
  await ana.getByRole("button", { name: "Start video" }).click();
  await ben.locator(".tile:not(.dark)[aria-label='Ana']").waitFor();
  await moving(ben, "Ana");

  await ana.getByRole("button", { name: "Leave" }).click();
  await ana.getByRole("heading", { name: "Meet in the parlor" }).waitFor();
  await tile(ben, "Ana").waitFor({ state: "detached" });
  await ben.locator("#messages", { hasText: "Ana left" }).waitFor();
  await ben.getByText("Nobody else is here yet").waitFor();

  await ana.getByRole("button", { name: "Join" }).click();
  await moving(ben, "Ana");
  await moving(ana, "Ben");
});

test("a closed tab is gone for the other", async () => {
  context = await newContext();
  const ana = await join("Ana", "coffee");
  const ben = await join("Ben", "coffee");
  await tile(ana, "Ben").waitFor();
  await ben.close();
  await tile(ana, "Ben").waitFor({ state: "detached" });
});

test("a lost websocket is shown, heals, and loses nothing", async () => {
  context = await newContext();
  const ana = await join("Ana", "thread");
  const ben = await join("Ben", "thread");
  await moving(ben, "Ana");
  await ana.evaluate(() => {
    globalThis.states = [];
    const state = document.getElementById("state");
    new MutationObserver(() => globalThis.states.push(state.dataset.state)).observe(state, { attributes: true });
    globalThis.sockets.at(-1).close(4000);
  });
  await ben.getByLabel("Message", { exact: true }).fill("Still there?");
  await ben.getByRole("button", { name: "Send" }).click();
  await ana.locator("#messages li", { hasText: "Still there?" }).waitFor();
  assert.deepEqual(await ana.evaluate(() => globalThis.states), ["reconnecting", "connected"]);
  assert.equal(await ana.evaluate(() => globalThis.sockets.length), 2);
  assert.equal(await ana.locator("#messages li", { hasText: "Still there?" }).count(), 1);
  assert.equal(await ben.locator("#people li").count(), 2);
  await moving(ben, "Ana");
  await moving(ana, "Ben");
});

test("people in different sessions do not meet", async () => {
  context = await newContext();
  const ana = await join("Ana", "left");
  const ben = await join("Ben", "right");
  for (const page of [ana, ben]) {
    await page.locator("#state[data-state=connected]").waitFor();
    await page.locator("#people li").waitFor();
    assert.equal(await page.locator("#people li").count(), 1);
  }
});

test("the page fits a telephone, in the dark", async () => {
  context = await newContext({ viewport: { width: 390, height: 844 }, colorScheme: "dark" });
  const ana = await join("Ana", "phone");
  await ana.locator("#state[data-state=connected]").waitFor();
  const overflow = await ana.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
  await ana.screenshot({ path: `${out}demo-phone.png` });
});

/** Both tabs of a call share one browser profile, as they do on a desk. */
async function newContext(options = { viewport: { width: 1280, height: 800 } }) {
  const fresh = await browser.newContext(options);
  // The page shows neither statistics nor sockets; the browser's own are kept for asking.
  await fresh.addInitScript(() => {
    globalThis.peers = [];
    globalThis.sockets = [];
    globalThis.WebSocket = class extends WebSocket {
      constructor(...args) {
        super(...args);
        globalThis.sockets.push(this);
      }
    };
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...args) {
        super(...args);
        globalThis.peers.push(this);
      }
    };
  });
  return fresh;
}

async function join(name, session) {
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(error.stack));
  page.on("console", (message) => {
    if (/Content Security Policy|Failed to load resource/.test(message.text())) errors.push(message.text());
  });
  await page.goto(parlor.url);
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("Session").fill(session);
  await page.getByRole("button", { name: "Join" }).click();
  await page.locator("#state[data-state=connected]").waitFor();
  return page;
}

function tile(page, name) {
  return page.locator(`.tile[aria-label='${name}']`);
}

/** Waits until the picture of `name` is lit and changes. */
async function moving(page, name) {
  const video = tile(page, name).locator("video");
  await video.waitFor();
  const look = () =>
    video.evaluate((element) => {
      const canvas = new OffscreenCanvas(32, 24);
      const drawing = canvas.getContext("2d");
      drawing.drawImage(element, 0, 0, 32, 24);
      const bytes = drawing.getImageData(0, 0, 32, 24).data.filter((_, at) => at % 4 !== 3);
      return { frames: element.getVideoPlaybackQuality().totalVideoFrames, lit: Math.max(...bytes), bytes: bytes.join() };
    });
  const before = await look();
  await eventually(`the picture of ${name} to move`, async () => {
    const now = await look();
    return now.frames >= before.frames + 10 && now.lit > 60 && now.bytes !== before.bytes;
  });
}

/** Waits until sound arrives. */
async function hearing(page) {
  const packets = () =>
    page.evaluate(async () => {
      let sum = 0;
      for (const peer of globalThis.peers) {
        for (const entry of (await peer.getStats()).values()) {
          if (entry.type === "inbound-rtp" && entry.kind === "audio") sum += entry.packetsReceived;
        }
      }
      return sum;
    });
  const before = await packets();
  await eventually("audio packets to arrive", async () => (await packets()) >= before + 20);
}
