// Calls through NAT, on either side, with the unmodified official client.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { useCall } from "../browser/support/call.mjs";
import { SITE, SERVER, addHost, addHostBehind, network } from "./support/network.mjs";

/** Where a way leads to, and where the server sees it begin. */
const ends = ({ local, remote }) => `${local.protocol} ${local.address} to ${remote.address} ${remote.port}`;

describe("a client behind NAT", () => {
  let router;
  const call = useCall(network(() => {
    const server = addHost("server", SERVER.v4);
    router = addHost("router", "203.0.113.20");
    const client = addHostBehind(router, "client", "192.168.7.2");
    return {
      within: server.within,
      http: `${SERVER.v4}:8080`,
      media: `${SERVER.v4}:3478`,
      site: SITE.v4,
      browser: () => client.browser(),
    };
  }));

  test("sends and receives through it", async () => {
    const sessionId = await call.createSession();
    const ana = await call.join(sessionId, "ana");
    const ben = await call.join(sessionId, "ben");
    await call.talk(ana, ben);
    for (const page of [ana, ben]) {
      await page.takes(Array(2).fill(`udp 203.0.113.20 to ${SERVER.v4} 3478`), ends);
    }
  });

  test("goes on when the router gets another address", async (t) => {
    const sessionId = await call.createSession();
    const ana = await call.join(sessionId, "ana");
    const ben = await call.join(sessionId, "ben");
    const { anas, bens } = await call.talk(ana, ben);
    const since = performance.now();
    router.move("203.0.113.21");
    await Promise.all([ana.flowing(bens, undefined, 60_000), ben.flowing(anas, undefined, 60_000)]);
    t.diagnostic(`media is back after ${Math.round(performance.now() - since)} ms`);
    for (const page of [ana, ben]) {
      await page.event("sessionReconnected");
      assert.deepEqual(await page.events("streamDestroyed"), []);
    }
  });
});

describe("a server in a container with mapped ports", () => {
  const call = useCall(network(() => {
    const machine = addHost("machine", SERVER.v4);
    const ports = ["tcp dport 8080", "udp dport 3478"];
    const container = addHostBehind(machine, "container", "172.17.0.2", ports);
    const client = addHost("client", "203.0.113.30");
    return {
      within: container.within,
      http: "0.0.0.0:8080",
      media: "0.0.0.0:3478",
      env: { PARLOR_MEDIA_ANNOUNCE: SERVER.v4 },
      url: `http://${SERVER.v4}:8080`,
      site: SITE.v4,
      browser: () => client.browser(),
    };
  }));

  test("is reached at the address that it announces", async () => {
    const sessionId = await call.createSession();
    const ana = await call.join(sessionId, "ana");
    const ben = await call.join(sessionId, "ben");
    await call.talk(ana, ben);
    for (const page of [ana, ben]) {
      await page.takes(Array(2).fill(`udp 203.0.113.30 to ${SERVER.v4} 3478`), ends);
    }
  });
});
