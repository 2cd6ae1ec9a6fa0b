// All subscriptions of a page over one peer connection, with the unmodified official client.

import { test } from "node:test";

import { useCall } from "./support/call.mjs";
import { eventually } from "./support/parlor.mjs";

const { createSession, join } = useCall();
const initOptions = { singlePeerConnection: true };

/** Waits until a page has as many peer connections as that, all of them connected. */
const peerConnections = (page, count) =>
  eventually(`${count} peer connections`, async () => {
    const states = await page.call("peerStates");
    return states.length === count && states.every((state) => state === "connected");
  });

test("publishers come, go and come back on one peer connection", async () => {
  const sessionId = await createSession();
  const [ana, ben, dan] = await Promise.all(["ana", "ben", "dan"].map((name) => join(sessionId, name)));
  const cleo = await join(sessionId, "cleo", "subscriber", { initOptions });
  const [anas, bens] = await Promise.all([ana.publish(), ben.publish()]);
  await Promise.all([cleo.subscribe(anas), cleo.subscribe(bens)]);
  await Promise.all([cleo.flowing(anas), cleo.flowing(bens)]);
  await peerConnections(cleo, 1);

  const dans = await dan.publish();
  await cleo.subscribe(dans);
  await Promise.all([anas, bens, dans].map((stream) => cleo.flowing(stream)));

  await ben.call("unpublish");
  await cleo.event("streamDestroyed", { id: bens });
  await Promise.all([cleo.flowing(anas), cleo.flowing(dans)]);

  const again = await ben.publish();
  await cleo.subscribe(again);
  await Promise.all([anas, dans, again].map((stream) => cleo.flowing(stream)));

  // The first one's section carries the transport of all.
  await cleo.call("unsubscribe", anas);
  await Promise.all([cleo.flowing(dans), cleo.flowing(again)]);
  await cleo.subscribe(anas);
  await Promise.all([anas, dans, again].map((stream) => cleo.flowing(stream)));
  await peerConnections(cleo, 1);
});

test("who has left everybody begins again with another peer connection", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const cleo = await join(sessionId, "cleo", "subscriber", { initOptions });
  const stream = await ana.publish();
  for (let round = 0; round < 2; round += 1) {
    await cleo.subscribe(stream);
    await cleo.flowing(stream);
    await peerConnections(cleo, 1);
    await cleo.call("unsubscribe", stream);
    await peerConnections(cleo, 0);
  }
});

test("a page that publishes as well has one peer connection each way", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana", "publisher", { initOptions });
  const ben = await join(sessionId, "ben", "publisher", { initOptions });
  const dan = await join(sessionId, "dan", "publisher", { initOptions });
  const pages = [ana, ben, dan];
  const streams = await Promise.all(pages.map((page) => page.publish()));
  const others = (page) => streams.filter((_, index) => pages[index] !== page);
  await Promise.all(pages.flatMap((page) => others(page).map((stream) => page.subscribe(stream))));
  await Promise.all(pages.flatMap((page) => others(page).map((stream) => page.flowing(stream))));
  await Promise.all(pages.map((page) => peerConnections(page, 2)));
});

test("a track that is added during a call comes over the same peer connection", async () => {
  const sessionId = await createSession();
  const [ana, ben] = await Promise.all(["ana", "ben"].map((name) => join(sessionId, name)));
  const cleo = await join(sessionId, "cleo", "subscriber", { initOptions });
  const anas = await ana.publish({ audioSource: null });
  const bens = await ben.publish({ audioSource: null });
  await Promise.all([cleo.subscribe(anas), cleo.subscribe(bens)]);
  await Promise.all([cleo.flowing(anas, ["video"]), cleo.flowing(bens, ["video"])]);

  await ana.call("addTone");
  await eventually("sound", async () => (await cleo.call("audioPackets")) > 50);
  await Promise.all([cleo.flowing(anas, ["video"]), cleo.flowing(bens, ["video"])]);
  await cleo.call("unsubscribe", anas);
  await cleo.flowing(bens, ["video"]);
  await cleo.subscribe(anas);
  await Promise.all([cleo.flowing(anas), cleo.flowing(bens, ["video"])]);
  await peerConnections(cleo, 1);
});
