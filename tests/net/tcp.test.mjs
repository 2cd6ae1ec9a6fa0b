// Networks that let no UDP through, or nothing but HTTPS, with the unmodified official client: media
// goes over TCP.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { describe, test } from "node:test";

import { useCall } from "../browser/support/call.mjs";
import { assertDetour, testNetwork } from "../browser/support/network-test.mjs";
import { HUB, SERVER, SITE, addHost, network } from "./support/network.mjs";

const certificate = (name) => fileURLToPath(new URL(`../fixtures/tls/first.${name}`, import.meta.url));

/**
 * Ana and Ben in a call, both on the client, and their streams; how good the way is, is not the
 * question here.
 */
async function two({ createSession, join }) {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const properties = { audioFallback: { publisher: false, subscriber: false } };
  const [anas, bens] = [await ana.publish(properties), await ben.publish(properties)];
  await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
  await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
  return { ana, ben, anas, bens };
}

/** Waits until each of these pages sends and receives by this way. */
async function take(way, pages, ms) {
  const view = ({ remote }) => `${remote.protocol} ${remote.address} ${remote.port}`;
  await Promise.all(pages.map((page) => page.takes([way, way], view, ms)));
}

describe("a client whose network lets no UDP through", () => {
  const call = useCall(network(() => {
    const server = addHost("server", SERVER.v4);
    const client = addHost("client", "203.0.113.30");
    client.allowOnly("meta l4proto tcp");
    return {
      within: server.within,
      http: `${SERVER.v4}:8080`,
      media: `${SERVER.v4}:3478`,
      site: SITE.v4,
      browser: () => client.browser(),
    };
  }));

  test("sends over TCP to the port of HTTP", async () => {
    const { ana, ben } = await two(call);
    await take(`tcp ${SERVER.v4} 8080`, [ana, ben]);
  });

  test("says so on the page that tests it", async () => {
    assertDetour(await testNetwork(call.browser, call.parlor.url, "without-udp"), "tcp");
  });
});

describe("a client whose network lets UDP through, and then does not", () => {
  let client;
  const call = useCall(network(() => {
    const server = addHost("server", SERVER.v4);
    client = addHost("client", "203.0.113.30");
    return {
      within: server.within,
      http: `${SERVER.v4}:8080`,
      media: `${SERVER.v4}:3478`,
      site: SITE.v4,
      browser: () => client.browser(),
    };
  }));

  test("goes on over TCP", async (t) => {
    const { ana, ben, anas, bens } = await two(call);
    await take(`udp ${SERVER.v4} 3478`, [ana, ben]);
    const since = performance.now();
    client.allowOnly("meta l4proto tcp");
    await take(`tcp ${SERVER.v4} 8080`, [ana, ben], 60_000);
    await Promise.all([ana.flowing(bens, undefined, 60_000), ben.flowing(anas, undefined, 60_000)]);
    t.diagnostic(`media is back after ${Math.round(performance.now() - since)} ms`);
    // Both have restarted ICE, of which the other one noticed nothing.
    await take(`tcp ${SERVER.v4} 8080`, [ana, ben]);
    for (const page of [ana, ben]) assert.deepEqual(await page.events("streamDestroyed"), []);
  });
});

describe("a client whose network lets only HTTPS through", () => {
  // The certificate is made by nobody, for another name; the network is ours.
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  const call = useCall(network(() => {
    const server = addHost("server", SERVER.v4);
    const client = addHost("client", "203.0.113.30");
    client.allowOnly("tcp dport 443", `ip daddr ${HUB.v4} tcp dport 80`);
    return {
      within: server.within,
      http: `${SERVER.v4}:443`,
      media: `${SERVER.v4}:3478`,
      env: { PARLOR_TLS_CERTIFICATE_FILE: certificate("pem"), PARLOR_TLS_KEY_FILE: certificate("key") },
      site: SITE.v4,
      browser: () => client.browser(["--ignore-certificate-errors"]),
    };
  }));

  test("has all of a call on that port", async () => {
    const { ana, ben } = await two(call);
    await take(`tcp ${SERVER.v4} 443`, [ana, ben]);
  });

  test("says so on the page that tests it", async () => {
    assertDetour(await testNetwork(call.browser, call.parlor.url, "only-https"), "tcp");
  });
});

describe("a server with several addresses, of which it announces the second", () => {
  const second = "203.0.113.11";
  const call = useCall(network(() => {
    const server = addHost("server", SERVER.v4, second);
    const client = addHost("client", "203.0.113.30");
    return {
      within: server.within,
      http: `${SERVER.v4}:8080`,
      media: "0.0.0.0:3478",
      env: { PARLOR_MEDIA_ANNOUNCE: second, PARLOR_MEDIA_TCP: "false" },
      site: SITE.v4,
      browser: () => client.browser(),
    };
  }));

  test("answers from the one that was asked", async () => {
    const { ana, ben } = await two(call);
    await take(`udp ${second} 3478`, [ana, ben]);
  });
});
