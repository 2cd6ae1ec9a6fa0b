// Keys that change in the middle of a call, with the unmodified official client.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useCall } from "./support/call.mjs";
import { eventually } from "./support/parlor.mjs";

// Each leg changes after 5 to 10 s, and then every 10 s.
const { createSession, join } = useCall({ env: { PARLOR_MEDIA_KEY_ROTATION: "10s" } });

/** A picture stands still for no longer, in seconds. It is a fraction of one; busy machines take longer for everything. */
const FREEZE = 10;

/** Waits until all of a page's peer connections have been shown another certificate so often. */
const rekeyed = (page, times) => {
  const seen = [];
  return eventually(
    `${times} changes of keys`,
    async () => {
      const now = await page.call("transports");
      now.forEach(({ fingerprint }, i) => {
        seen[i] ??= [];
        if (seen[i].at(-1) !== fingerprint) seen[i].push(fingerprint);
      });
      return seen.length > 0 && seen.every((all) => all.length > times);
    },
    60_000,
  );
};

/** That nobody has noticed anything. */
const undisturbed = async (page) => {
  const disturbances = ["streamDestroyed", "sessionReconnecting", "sessionDisconnected", "publisherStreamDestroyed"];
  const all = (await page.events()).map(({ type }) => type);
  const disturbed = (type) => disturbances.includes(type) || /^subscriber:(dis|des)/.test(type);
  assert.deepEqual(all.filter(disturbed), []);
};

test("keys change on both legs and nobody notices", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben", "subscriber");
  const stream = await ana.publish();
  await ben.subscribe(stream);
  await ben.flowing(stream);
  await ben.call("watch", stream);

  await Promise.all([rekeyed(ana, 2), rekeyed(ben, 2)]);
  await ben.flowing(stream);
  const freeze = await ben.call("longestFreeze", stream);
  assert.ok(freeze < FREEZE, `the picture stood still for ${freeze} s`);
  const { audioLost } = await ben.call("received", stream);
  assert.ok(audioLost < 10, `${audioLost} packets of sound were lost for good`);
  await Promise.all([undisturbed(ana), undisturbed(ben)]);
});

test("who asks for a single peer connection gets several, as the keys of that one could not change", async () => {
  const sessionId = await createSession();
  const [ana, ben] = await Promise.all(["ana", "ben"].map((name) => join(sessionId, name)));
  const initOptions = { singlePeerConnection: true };
  const cleo = await join(sessionId, "cleo", "subscriber", { initOptions });
  const streams = await Promise.all([ana.publish(), ben.publish()]);
  await Promise.all(streams.map((stream) => cleo.subscribe(stream)));
  await Promise.all(streams.map((stream) => cleo.flowing(stream)));

  assert.equal((await cleo.call("peerStates")).length, 2);
  await rekeyed(cleo, 1);
  await Promise.all(streams.map((stream) => cleo.flowing(stream)));
  await undisturbed(cleo);
});
