// Limits as the unmodified official client reports them.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { useCall } from "./support/call.mjs";

const call = useCall({ env: { PARLOR_LIMITS_SUBSCRIPTIONS_PER_CONNECTION: "1" } });
const { createSession, join, open } = call;

/** A session with a limit, which no SDK knows of: made by a plain REST call. */
async function createSessionFor(maxConnections) {
  const response = await fetch(`${call.parlor.url}/session/create`, {
    method: "POST",
    headers: {
      "X-TB-PARTNER-AUTH": `${call.parlor.api_key}:${call.parlor.api_secret}`,
      Accept: "application/json",
    },
    body: new URLSearchParams({ maxConnections }),
  });
  assert.equal(response.status, 200);
  const [session] = await response.json();
  return session.session_id;
}

describe("a session for two", () => {
  test("turns a third away, by name, until somebody has left", async () => {
    const sessionId = await createSessionFor(2);
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    await ana.event("connectionCreated", { id: ben.id });

    const late = await open(sessionId);
    const token = call.opentok.generateToken(sessionId, { data: "late" });
    const error = await late.call("connect", token);
    assert.equal(error?.name, "OT_CONNECTION_LIMIT_EXCEEDED");
    assert.equal(error.code, 1027);
    assert.deepEqual(
      (await ana.events("connectionCreated")).map(({ data }) => data).sort(),
      ["ana", "ben"],
      "those who are here hear nothing of it",
    );

    await ben.call("disconnect");
    await ana.event("connectionDestroyed", { id: ben.id });
    const next = await join(sessionId, "next");
    await ana.event("connectionCreated", { id: next.id });
  });
});

describe("a connection", () => {
  test("has no more subscriptions than it may", async () => {
    const sessionId = await createSession();
    const [ana, ben, viewer] = await Promise.all(["ana", "ben", "viewer"].map((data) => join(sessionId, data)));
    await viewer.subscribe(await ana.publish());
    const second = await ben.publish();
    await viewer.event("streamCreated", { id: second });

    const error = await viewer.call("subscribe", second);
    assert.equal(error?.name, "OT_STREAM_LIMIT_EXCEEDED");
    assert.equal(error.code, 1605);
  });
});
