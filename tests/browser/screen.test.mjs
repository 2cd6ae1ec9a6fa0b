// Screen sharing with the unmodified official client.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useCall } from "./support/call.mjs";
import { eventually } from "./support/parlor.mjs";

const { createSession, join } = useCall();

test("the browser's own screen capture is shared", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  const stream = await ana.publish({ videoSource: "screen", publishAudio: false });
  await ben.subscribe(stream);
  await eventually("a picture of the screen", async () => {
    const { videoPackets, width } = await ben.call("received", stream);
    return videoPackets > 20 && width > 0;
  });
});

test("a drawing is shared as screens are", async () => {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  assert.equal(await ana.call("publishDrawing", { videoContentHint: "text" }), null);
  const stream = await ana.call("streamId");
  await ben.subscribe(stream);
  await ben.flowing(stream, ["video"]);
});
