// IPv6, both families at once, and addresses that change during a call, with the unmodified
// official client.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { useCall } from "../browser/support/call.mjs";
import { HUB, SERVER, SITE, addHost, network } from "./support/network.mjs";

describe("without IPv4", () => {
  const call = useCall(network(() => {
    const server = addHost("server", SERVER.v6);
    const client = addHost("client", "2001:db8::30");
    return {
      within: server.within,
      http: `[${SERVER.v6}]:8080`,
      media: `[${SERVER.v6}]:3478`,
      site: SITE.v6,
      browser: () => client.browser(),
    };
  }));

  test("a call works", async () => {
    const sessionId = await call.createSession();
    const ana = await call.join(sessionId, "ana");
    const ben = await call.join(sessionId, "ben");
    await call.talk(ana, ben);
    const ends = ({ local, remote }) => `${local.protocol} ${local.address} to ${remote.address}`;
    await ana.takes(Array(2).fill(`udp 2001:db8::30 to ${SERVER.v6}`), ends);
  });
});

describe("a server with addresses of both families", () => {
  let six;
  let client;
  const call = useCall(network(() => {
    const server = addHost("server", SERVER.v4, SERVER.v6);
    client = addHost("client", "203.0.113.30");
    return {
      within: server.within,
      http: "[::]:8080",
      media: "[::]:3478",
      env: { PARLOR_MEDIA_ANNOUNCE: `${SERVER.v4},${SERVER.v6}` },
      url: `http://${SERVER.v4}:8080`,
      site: ["::", 80],
      browser: () => client.browser(),
    };
  }));
  before(async () => {
    six = await addHost("six", "2001:db8::30").browser();
  });
  after(() => six?.close());

  const site = { url: `http://${HUB.v4}/` };
  const elsewhere = () => ({
    browser: six,
    site: { url: `http://[${HUB.v6}]/` },
    url: `http://[${SERVER.v6}]:8080`,
  });

  test("connects clients that have only one", async () => {
    const sessionId = await call.createSession();
    const ana = await call.join(sessionId, "ana", "publisher", { site });
    const ben = await call.join(sessionId, "ben", "publisher", elsewhere());
    await call.talk(ana, ben);
    for (const [page, address] of [[ana, SERVER.v4], [ben, SERVER.v6]]) {
      await page.takes(Array(2).fill(`udp ${address}`), ({ remote }) => `${remote.protocol} ${remote.address}`);
    }
  });

  test("keeps a client whose address changes", async (t) => {
    const sessionId = await call.createSession();
    const ana = await call.join(sessionId, "ana", "publisher", { site });
    const ben = await call.join(sessionId, "ben", "publisher", elsewhere());
    const { anas, bens } = await call.talk(ana, ben);
    const before = await ana.call("transports");
    const since = performance.now();
    client.move("203.0.113.31");
    await ana.event("sessionReconnected");
    const signaling = performance.now() - since;
    await Promise.all([ana.flowing(bens, undefined, 60_000), ben.flowing(anas, undefined, 60_000)]);
    const media = performance.now() - since;
    t.diagnostic(`signaling is back after ${Math.round(signaling)} ms, media after ${Math.round(media)} ms`);
    // Seen: 1.3 to 1.6 s. The client itself begins to restart ICE 2.7 to 4 s after its signaling is back.
    assert.ok(media - signaling < 2500, "the server restarts ICE as soon as it can");
    assert.deepEqual(await ben.events("streamDestroyed"), []);
    await ana.takes(Array(2).fill("udp 203.0.113.31"), ({ local }) => `${local.protocol} ${local.address}`);
    // Each leg has restarted ICE, and none its DTLS: to another certificate it would have to begin anew.
    for (const [leg, { ufrag, fingerprint }] of (await ana.call("transports")).entries()) {
      assert.equal(fingerprint, before[leg].fingerprint);
      assert.notEqual(ufrag, before[leg].ufrag);
    }
  });
});
