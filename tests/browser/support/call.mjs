// What every browser test needs: a server, a site with the official client, a browser, and people.

import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { after, afterEach, before } from "node:test";

import OpenTok from "opentok";

import { Participant, startBrowser } from "./browser.mjs";
import { startParlor } from "./parlor.mjs";
import { startSite } from "./site.mjs";

/**
 * Starts all of it before the tests of a file or suite and ends it after them. What is not for the
 * server in `options` (or in what they return, if something must be there first): `site`, where the
 * site is served, and `browser`, which starts the browser.
 */
export function useCall(options = {}) {
  const open = [];
  const call = {
    /** A session as a back end makes it with the Node SDK. */
    createSession: (properties = { mediaMode: "routed" }) =>
      new Promise((resolve, reject) =>
        call.opentok.createSession(properties, (error, session) =>
          error ? reject(error) : resolve(session.sessionId),
        ),
      ),

    /** A session with parameters that the SDK does not know. */
    async createSessionWith(parameters) {
      const { api_key: iss, api_secret: secret, url } = call.parlor;
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss, ist: "project", iat: now, exp: now + 60, jti: randomUUID() };
      const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const body = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
      const token = `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
      const response = await fetch(`${url}/session/create`, {
        method: "POST",
        headers: { "x-opentok-auth": token, accept: "application/json" },
        body: new URLSearchParams(parameters),
      });
      assert.equal(response.status, 200);
      return (await response.json())[0].session_id;
    },

    /**
     * A page that is not connected yet, in another browser or from another site if one is given;
     * `url` is where it believes the server to be, `properties` are its `OTProperties`, `without` is
     * a video codec that its browser does not have.
     */
    async open(sessionId, { token, url, initOptions, properties, without, browser, site } = {}) {
      const { parlor } = call;
      const participant = await Participant.open({
        browser: browser ?? call.browser,
        site: site ?? call.site,
        parlor: { ...parlor, url: url ?? parlor.url },
        sessionId,
        token,
        options: initOptions,
        properties,
        without,
      });
      open.push(participant);
      return participant;
    },

    /** A connected page; `data` is its connection data. */
    async join(sessionId, data, role = "publisher", options = {}) {
      const token = call.opentok.generateToken(sessionId, { role, data });
      const participant = await call.open(sessionId, { ...options, token });
      participant.id = await participant.call("connectionId");
      return participant;
    },

    /** Both publish and subscribe, and have each other's sound and picture; returns their streams. */
    async talk(ana, ben) {
      const [anas, bens] = [await ana.publish(), await ben.publish()];
      await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
      await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
      return { anas, bens };
    },
  };

  before(async () => {
    const given = typeof options === "function" ? options() : options;
    const { site: place = [], browser: start = startBrowser, ...server } = given;
    const starting = { parlor: startParlor(server), site: startSite(...place), browser: start() };
    const keep = async ([name, started]) => (call[name] = await started);
    await Promise.all(Object.entries(starting).map(keep));
    const { parlor } = call;
    call.opentok = new OpenTok(parlor.api_key, parlor.api_secret, parlor.url);
  });

  after(async () => {
    await call.browser?.close();
    await call.site?.stop();
    const how = await call.parlor?.stop();
    assert.deepEqual(how, { code: 0, signal: null }, "SIGTERM ends the server cleanly");
  });

  afterEach(async () => {
    const pages = open.splice(0);
    const errors = pages.flatMap((page) => page.errors);
    await Promise.all(pages.map((page) => page.close()));
    assert.deepEqual(errors, [], "no exception in a page");
  });

  return call;
}
