// Moderation with the unmodified official client: what moderators can do, and who cannot.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { useCall } from "./support/call.mjs";

const { createSession, join } = useCall();

describe("a moderator", () => {
  test("disconnects somebody, who learns why, and so do the others", async () => {
    const sessionId = await createSession();
    const boss = await join(sessionId, "boss", "moderator");
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const stream = await ana.publish();
    await ben.subscribe(stream);
    await boss.event("connectionCreated", { id: ana.id });

    assert.equal(await boss.call("forceDisconnect", ana.id), null);
    await ana.event("sessionDisconnected", { reason: "forceDisconnected" });
    for (const each of [boss, ben]) {
      await each.event("streamDestroyed", { id: stream, reason: "forceDisconnected" });
      await each.event("connectionDestroyed", { id: ana.id, reason: "forceDisconnected" });
    }
  });

  test("ends somebody's stream; its owner stays and can publish again", async () => {
    const sessionId = await createSession();
    const boss = await join(sessionId, "boss", "moderator");
    const ana = await join(sessionId, "ana");
    const stream = await ana.publish();
    await boss.subscribe(stream);

    assert.equal(await boss.call("forceUnpublish", stream), null);
    await boss.event("streamDestroyed", { id: stream, reason: "forceUnpublished" });
    await ana.event("publisherStreamDestroyed", { reason: "forceUnpublished" });

    const again = await ana.publish();
    await boss.subscribe(again);
    await boss.flowing(again);
  });

  test("mutes one stream and no other", async () => {
    const sessionId = await createSession();
    const boss = await join(sessionId, "boss", "moderator");
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const anas = await ana.publish();
    const bens = await ben.publish();
    await boss.subscribe(anas);
    await boss.subscribe(bens);

    assert.equal(await boss.call("forceMuteStream", anas), null);
    await ana.event("publisher:muteForced");
    await boss.event("streamPropertyChanged", { id: anas, property: "hasAudio", to: false });
    await ben.event("streamPropertyChanged", { id: anas, property: "hasAudio", to: false });
    assert.deepEqual(await ben.events("publisher:muteForced"), []);
    assert.equal(await ben.call("isMuted"), false);
  });

  test("mutes everybody but those excluded, also those who publish later, until that is lifted", async () => {
    const sessionId = await createSession();
    const boss = await join(sessionId, "boss", "moderator");
    const ana = await join(sessionId, "ana");
    const ben = await join(sessionId, "ben");
    const anas = await ana.publish();
    const bens = await ben.publish();
    await boss.event("streamCreated", { id: anas });
    await boss.event("streamCreated", { id: bens });

    assert.equal(await boss.call("forceMuteAll", [bens]), null);
    for (const each of [boss, ana, ben]) await each.event("session:muteForced", { active: true });
    await boss.event("streamPropertyChanged", { id: anas, property: "hasAudio", to: false });
    assert.equal(await ben.call("isMuted"), false);

    const late = await join(sessionId, "late");
    await late.event("session:muteForced", { active: true });
    await late.publish();
    assert.equal(await late.call("isMuted"), true, "late publishers start muted");

    assert.equal(await boss.call("disableForceMute"), null);
    await late.event("session:muteForced", { active: false });
    const later = await join(sessionId, "later");
    await later.publish();
    assert.equal(await later.call("isMuted"), false);
  });
});

describe("others", () => {
  for (const role of ["publisher", "subscriber", "publisheronly"]) {
    test(`a ${role} may not moderate`, async () => {
      const sessionId = await createSession();
      const ana = await join(sessionId, "ana");
      const page = await join(sessionId, "page", role);
      const stream = await ana.publish();
      await page.event("streamCreated", { id: stream });
      await page.event("connectionCreated", { id: ana.id });

      assert.equal((await page.call("forceDisconnect", ana.id))?.name, "OT_PERMISSION_DENIED");
      assert.equal((await page.call("forceUnpublish", stream))?.name, "OT_PERMISSION_DENIED");
      assert.equal((await page.call("forceMuteStream", stream))?.name, "OT_PERMISSION_DENIED");
      assert.equal((await page.call("forceMuteAll"))?.name, "OT_PERMISSION_DENIED");
      assert.deepEqual(await ana.events("sessionDisconnected"), []);
    });
  }

  test("one who may only publish can neither subscribe nor signal", async () => {
    const sessionId = await createSession();
    const ana = await join(sessionId, "ana");
    const page = await join(sessionId, "page", "publisheronly");
    const stream = await ana.publish();
    await page.event("streamCreated", { id: stream });
    assert.notEqual(await page.call("subscribe", stream), null);
    assert.equal((await page.call("signal", { data: "x" }))?.name, "OT_PERMISSION_DENIED");
    const own = await page.publish();
    await ana.subscribe(own);
    await ana.flowing(own);
  });
});
