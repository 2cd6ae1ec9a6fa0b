// A websocket that dies under the unmodified official client, and what nobody may lose by that.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { useCall } from "./support/call.mjs";
import { startProxy } from "./support/proxy.mjs";

const call = useCall();
const { createSession, join } = call;
let proxy;

/** Ana reaches the server through the proxy, Ben directly; both see each other. */
async function callThroughProxy() {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana", "publisher", { url: proxy.url });
  const ben = await join(sessionId, "ben");
  const [anas, bens] = [await ana.publish(), await ben.publish()];
  await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
  await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
  return { ana, ben, anas, bens };
}

describe("a websocket that is cut", () => {
  before(async () => {
    proxy = await startProxy(call.parlor.url);
  });

  after(() => proxy?.stop());

  test("is resumed, and nobody else notices", async () => {
    const { ana, ben, anas, bens } = await callThroughProxy();
    proxy.cut();
    await ana.event("sessionReconnecting");
    await ana.event("sessionReconnected");
    await Promise.all([ana.flowing(bens), ben.flowing(anas)]);

    assert.equal(await ana.call("signal", { data: "still here" }), null);
    await ben.event("signal", { data: "still here", from: ana.id });
    for (const each of [ana, ben]) {
      const ended = (await each.events()).filter(({ type }) => /Destroyed|Disconnected/.test(type));
      assert.deepEqual(ended, []);
    }
  });

  test("brings what was signalled meanwhile, both ways, in order and once", async () => {
    const { ana, ben } = await callThroughProxy();
    proxy.refuse();
    await ana.event("sessionReconnecting");
    const sent = ["one", "two", "three"];
    for (const data of sent) assert.equal(await ben.call("signal", { data }), null);
    const waiting = ana.call("signal", { data: "from afar" });
    proxy.accept();
    await ana.event("sessionReconnected");
    assert.equal(await waiting, null);
    await ben.event("signal", { data: "from afar", from: ana.id });
    await ana.event("signal", { data: "three" });
    const received = (await ana.events("signal")).filter(({ from }) => from === ben.id);
    assert.deepEqual(received.map(({ data }) => data), sent);
    assert.equal((await ben.events("signal")).filter(({ from }) => from === ana.id).length, 1);
  });

  test("by a browser without network is resumed when the network is back", async () => {
    const { ana, ben, anas, bens } = await callThroughProxy();
    await ana.page.context().setOffline(true);
    await ana.event("sessionReconnecting");
    assert.equal(await ben.call("signal", { data: "are you there?" }), null);
    await ana.page.context().setOffline(false);
    await ana.event("sessionReconnected");
    await ana.event("signal", { data: "are you there?", from: ben.id });
    await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
  });

  test("for good ends the connection, and both sides learn that it was the network", async () => {
    const { ana, ben, anas } = await callThroughProxy();
    proxy.refuse();
    try {
      await ana.event("sessionDisconnected", { reason: "networkDisconnected" }, 45_000);
      await ben.event("streamDestroyed", { id: anas, reason: "networkDisconnected" }, 30_000);
      await ben.event("connectionDestroyed", { id: ana.id, reason: "networkDisconnected" });
    } finally {
      proxy.accept();
    }
  });
});
