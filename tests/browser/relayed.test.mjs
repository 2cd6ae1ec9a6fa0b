// Relayed sessions with the unmodified official client: media goes from browser to browser.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { useCall } from "./support/call.mjs";

const call = useCall();
const { createSession, join } = call;

describe("a relayed session", () => {
  test("carries a call without media at the server", async () => {
    const sessionId = await createSession({ mediaMode: "relayed" });
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const [anas, bens] = [await ana.publish(), await ben.publish()];
    await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
    await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
    for (const page of [ana, ben]) {
      const ports = await page.remotePorts();
      assert.ok(ports.length > 0);
      assert.ok(!ports.includes(call.parlor.media_port), "media port of the server in use");
    }
  });

  test("serves a late joiner, and one who leaves is gone for all", async () => {
    const sessionId = await createSession({ mediaMode: "relayed" });
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish();
    await ben.subscribe(stream);
    const cleo = await join(sessionId, "cleo", "subscriber");
    await cleo.subscribe(stream);
    await Promise.all([ben.flowing(stream), cleo.flowing(stream)]);

    await ben.call("unsubscribe", stream);
    await cleo.flowing(stream);
    await ana.call("unpublish");
    await cleo.event("streamDestroyed", { id: stream, reason: "clientDisconnected" });
  });
});
