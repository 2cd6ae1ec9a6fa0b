// Headless browsers, and the pages in them.

import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";

import { chromium, firefox } from "playwright-core";

import { eventually } from "./parlor.mjs";

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  "--auto-select-desktop-capture-source=Entire screen",
  // A page that only listens has no user gesture to start its sound with.
  "--autoplay-policy=no-user-gesture-required",
];

/** What the flags above are to Chromium. */
const preferences = {
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0,
  // Otherwise there would be no candidates for a server on this machine.
  "media.peerconnection.ice.loopback": true,
  "media.peerconnection.ice.obfuscate_host_addresses": false,
};

/** A fresh Chromium with a fresh profile; what is given goes to Playwright. */
export function startBrowser({ args = [], ...options } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...flags, ...args],
    ...options,
  });
}

/** A fresh Firefox with a fresh profile, as Mozilla and Debian build it, driven over WebDriver BiDi. */
export function startFirefox() {
  return firefox.launch({
    channel: "moz-firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    firefoxUserPrefs: preferences,
  });
}

/** One participant: a page with the application, connected when `token` is given. */
export class Participant {
  static async open({ browser, site, parlor, sessionId, token, options, properties, without }) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const participant = new Participant(page);
    page.on("pageerror", (error) => participant.errors.push(error));
    if (properties) await page.addInitScript((value) => (globalThis.OTProperties = value), properties);
    if (without) await page.addInitScript((codec) => (globalThis.lackedCodec = codec), without);
    await page.goto(site.url);
    await participant.call("init", parlor.api_key, sessionId, parlor.url, options);
    if (token) {
      const error = await participant.call("connect", token);
      if (error) throw new Error(`connect failed: ${JSON.stringify(error)}`);
    }
    return participant;
  }

  constructor(page) {
    this.page = page;
    this.errors = [];
  }

  /** Calls a function of the application in the page. */
  call(name, ...args) {
    return this.page.evaluate(([name, args]) => globalThis.app[name](...args), [name, args]);
  }

  /** All events so far, or those of one type. */
  async events(type) {
    const all = await this.page.evaluate(() => globalThis.app.events);
    return type ? all.filter((event) => event.type === type) : all;
  }

  /** Waits for an event with at least these members. */
  event(type, members = {}, ms) {
    const fits = (event) => Object.entries(members).every(([key, value]) => event[key] === value);
    return eventually(
      `${type} ${JSON.stringify(members)}`,
      async () => (await this.events(type)).find(fits),
      ms,
    );
  }

  /** Publishes and returns the stream id. */
  async publish(properties) {
    const error = await this.call("publish", properties);
    if (error) throw new Error(`publish failed: ${JSON.stringify(error)}`);
    return this.call("streamId");
  }

  /** Waits for the stream and subscribes to it. */
  async subscribe(streamId, properties) {
    await this.event("streamCreated", { id: streamId });
    const error = await this.call("subscribe", streamId, properties);
    if (error) throw new Error(`subscribe failed: ${JSON.stringify(error)}`);
  }

  /** Waits until what it receives moves: `kinds` of "audio" and "video". */
  async flowing(streamId, kinds = ["audio", "video"], ms = undefined) {
    let before;
    return eventually(`media of ${streamId} to flow (${kinds})`, async () => {
      const now = await this.call("received", streamId);
      before ??= now;
      const audio = now.audioPackets >= before.audioPackets + 20;
      const video =
        now.frames >= before.frames + 10 &&
        now.picture?.lit > 50 &&
        now.picture.hash !== before.picture?.hash;
      return (!kinds.includes("audio") || audio) && (!kinds.includes("video") || video) && now;
    }, ms);
  }

  /**
   * Waits until the ways that media takes are as expected, each seen through `view`: one for each
   * connected peer connection. A browser begins with the first way that works, and takes a better
   * one as soon as that works too.
   */
  async takes(expected, view, ms) {
    let ways;
    const look = async () => (ways = (await this.call("paths")).map(view));
    const fits = async () => isDeepStrictEqual(await look(), expected);
    await eventually("the ways that media takes", fits, ms).catch((error) => {
      assert.deepEqual(ways, expected, error.message);
      throw error;
    });
  }

  /** The ports at the other end of all connected peer connections. */
  async remotePorts() {
    return (await this.call("paths")).map(({ remote }) => remote.port);
  }

  close() {
    return this.page.context().close();
  }
}
