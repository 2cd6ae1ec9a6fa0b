// Audio fallback with the unmodified official client, behind a network that gets slow.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useCall } from "./support/call.mjs";
import { startLink } from "./support/link.mjs";

const call = useCall();
const { createSession, join } = call;

test("where only the audio fits, video is announced to stop, stops, and comes back", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const link = await startLink(call.parlor.media_port);
  try {
    await ben.page.evaluate((ports) => (globalThis.mediaPorts = ports), [call.parlor.media_port, link.port]);
    const stream = await ana.publish();
    await ben.subscribe(stream);
    await ben.flowing(stream);

    link.limit(60_000);
    await ben.event("videoDisableWarning", { id: stream }, 30_000);
    await ben.event("videoDisabled", { id: stream, reason: "quality" }, 30_000);
    await ben.flowing(stream, ["audio"]);

    link.limit(Infinity);
    await ben.event("videoEnabled", { id: stream, reason: "quality" }, 40_000);
    await ben.flowing(stream);
    assert.equal((await ben.events("subscriber:destroyed")).length, 0);
  } finally {
    link.stop();
  }
});
