// Quality and restarts where all subscriptions of a page share a peer connection.

import assert from "node:assert/strict";
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

test("each subscription has its own preferred resolution", async () => {
  const sessionId = await createSession();
  const [ana, ben] = await Promise.all(["ana", "ben"].map((name) => join(sessionId, name)));
  const cleo = await join(sessionId, "cleo", "subscriber", { initOptions });
  const large = { resolution: "1280x720", frameRate: 7 };
  const [anas, bens] = await Promise.all([ana.publish(large), ben.publish(large)]);
  await Promise.all([cleo.subscribe(anas), cleo.subscribe(bens)]);
  const width = async (stream) => (await cleo.call("received", stream)).width;
  await eventually("two large pictures", async () => (await width(anas)) >= 640 && (await width(bens)) >= 640, 60_000);

  await cleo.call("setPreferredResolution", anas, { width: 320, height: 180 });
  await eventually("one small picture", async () => (await width(anas)) <= 320, 30_000);
  assert.ok((await width(bens)) >= 640);
  await Promise.all([cleo.flowing(anas), cleo.flowing(bens)]);
});

test("ICE restarts for all subscriptions at once", async () => {
  const sessionId = await createSession();
  const [ana, ben] = await Promise.all(["ana", "ben"].map((name) => join(sessionId, name)));
  const cleo = await join(sessionId, "cleo", "subscriber", { initOptions });
  const [anas, bens] = await Promise.all([ana.publish(), ben.publish()]);
  await Promise.all([cleo.subscribe(anas), cleo.subscribe(bens)]);
  await Promise.all([cleo.flowing(anas), cleo.flowing(bens)]);

  const [before] = await cleo.call("transports");
  await cleo.call("restartSubscriber", bens);
  const after = await eventually("other credentials", async () => {
    const [now] = await cleo.call("transports");
    return now && now.ufrag !== before.ufrag && now;
  });
  assert.equal(after.fingerprint, before.fingerprint);
  await Promise.all([cleo.flowing(anas), cleo.flowing(bens)]);

  // And what comes afterwards fits in.
  await cleo.call("unsubscribe", anas);
  await cleo.flowing(bens);
  await cleo.subscribe(anas);
  await Promise.all([cleo.flowing(anas), cleo.flowing(bens)]);
  await peerConnections(cleo, 1);
});
