// Sessions and tokens as a back end makes them with the official Node SDK.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import OpenTok from "opentok";

import { startParlor } from "../browser/support/parlor.mjs";

let parlor, opentok;

before(async () => {
  parlor = await startParlor();
  opentok = new OpenTok(parlor.api_key, parlor.api_secret, parlor.url);
});

after(async () => {
  const how = await parlor?.stop();
  assert.deepEqual(how, { code: 0, signal: null }, "SIGTERM ends the server cleanly");
});

/** The id of a new session. */
async function createSession(options = {}, sdk = opentok) {
  const session = await promisify(sdk.createSession.bind(sdk))(options);
  return session.sessionId;
}

/** What the server tells a client with this token: `{session}` or `{error}`. */
async function join(sessionId, token) {
  const response = await fetch(`${parlor.url}/session/${sessionId}?extended=true`, {
    headers: { Accept: "application/json", "X-OPENTOK-AUTH": token },
  });
  assert.equal(response.status, 200);
  const [{ error, ...session }] = await response.json();
  return error ? { error } : { session };
}

/** Suspends or resumes the project, as who manages it would. */
async function setStatus(status) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: parlor.account_key, ist: "account", iat: now, exp: now + 60 };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const message = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  const signature = createHmac("sha256", parlor.account_secret).update(message).digest("base64url");
  const response = await fetch(`${parlor.url}/v2/project/${parlor.api_key}`, {
    method: "PUT",
    headers: { "X-OPENTOK-AUTH": `${message}.${signature}`, "Content-Type": "application/json" },
    body: JSON.stringify({ status }),
  });
  assert.equal(response.status, 200);
}

/** How clients of this session are told to send media. */
async function preference(sessionId) {
  const { session } = await join(sessionId, opentok.generateToken(sessionId));
  return session.properties.p2p.preference.value;
}

describe("creating a session", () => {
  test("relayed is the SDK's default", async () => {
    assert.equal(await preference(await createSession()), "enabled");
  });

  test("routed", async () => {
    assert.equal(await preference(await createSession({ mediaMode: "routed" })), "disabled");
  });

  test("adaptive, which the SDK has no word for yet, is never told to be relayed", async () => {
    const create = promisify(opentok.client.createSession.bind(opentok.client));
    const [{ session_id }] = await create({ "p2p.preference": "adaptive" });
    assert.notEqual(await preference(session_id), "enabled");
  });

  test("archived by itself", async () => {
    await createSession({ mediaMode: "routed", archiveMode: "always" });
    await createSession({
      mediaMode: "routed",
      archiveMode: "always",
      archiveName: "lesson",
      archiveResolution: "1280x720",
    });
  });

  test("with a hint where", async () => {
    await createSession({ mediaMode: "routed", location: "12.34.56.78" });
  });

  test("encrypted end to end", async () => {
    const sessionId = await createSession({ mediaMode: "routed", e2ee: true });
    const { session } = await join(sessionId, opentok.generateToken(sessionId));
    assert.equal(session.properties.e2ee, true);
  });

  test("an API URL may end in a slash", async () => {
    await createSession({}, new OpenTok(parlor.api_key, parlor.api_secret, `${parlor.url}/`));
  });

  test("what makes no sense is refused with a reason", async () => {
    const refused = (options, reason) => assert.rejects(createSession(options), reason);
    await refused({ mediaMode: "relayed", e2ee: true }, /e2ee needs/);
    await refused({ mediaMode: "routed", archiveName: "lesson" }, /archiveName/);
    await refused({ mediaMode: "routed", archiveMode: "always", archiveResolution: "1x1" }, /archiveResolution/);
  });

  test("a wrong secret is the SDK's AuthError", async () => {
    const wrong = new OpenTok(parlor.api_key, "0".repeat(40), parlor.url);
    await assert.rejects(createSession({}, wrong), /Invalid API key or secret/);
    const unknown = new OpenTok("1", parlor.api_secret, parlor.url);
    await assert.rejects(createSession({}, unknown), /Invalid API key or secret/);
  });
});

test("a suspended project is the SDK's AuthError until it is resumed", async () => {
  const sessionId = await createSession();
  const token = opentok.generateToken(sessionId);
  await setStatus("SUSPENDED");
  await assert.rejects(createSession(), /Invalid API key or secret/);
  await assert.rejects(promisify(opentok.listStreams.bind(opentok))(sessionId), /Invalid API key or secret/);
  assert.equal((await join(sessionId, token)).error.code, 403);
  await setStatus("ACTIVE");
  await createSession();
  assert.ok((await join(sessionId, token)).session);
});

describe("tokens", () => {
  let sessionId;

  before(async () => (sessionId = await createSession({ mediaMode: "routed" })));

  for (const kind of ["JWT", "T1"]) {
    const generate = (options, id = sessionId) => opentok.generateToken(id, options, kind === "T1");

    for (const role of ["subscriber", "publisher", "publisheronly", "moderator"]) {
      test(`${kind} of a ${role}`, async () => {
        const token = generate({ role, data: "name=Ana & Bo é", initialLayoutClassList: ["focus", "full"] });
        assert.equal(token.startsWith("T1=="), kind === "T1");
        const { session } = await join(sessionId, token);
        assert.equal(session.session_id, sessionId);
        assert.equal(session.partner_id, parlor.api_key);
      });
    }

    test(`${kind} with the longest life and data the SDK allows`, async () => {
      const expireTime = Math.floor(Date.now() / 1000) + 30 * 24 * 3600;
      assert.ok((await join(sessionId, generate({ expireTime, data: "x".repeat(1000) }))).session);
    });

    test(`${kind} for another session is refused`, async () => {
      const other = await createSession({ mediaMode: "routed" });
      const { error } = await join(sessionId, generate({}, other));
      assert.equal(error.code, 403);
    });

    test(`${kind} signed with another secret is refused`, async () => {
      const stranger = new OpenTok(parlor.api_key, "0".repeat(40), parlor.url);
      const token = stranger.generateToken(sessionId, {}, kind === "T1");
      assert.equal((await join(sessionId, token)).error.code, 403);
    });
  }

  test("no token is refused", async () => {
    assert.equal((await join(sessionId, "")).error.code, 403);
  });
});
