// Clients whose network lets only some things through, with the unmodified official client: media goes
// through TURN. Without TURN: tcp.test.mjs.

import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { useCall } from "../browser/support/call.mjs";
import { assertDetour, testNetwork } from "../browser/support/network-test.mjs";
import { HUB, SERVER, SITE, addHost, network } from "./support/network.mjs";

/** A call between two pages of a browser whose media goes by this means: `tcp` or `tls`. */
async function callBy(means, { createSession, join, talk }) {
  const sessionId = await createSession();
  const ana = await join(sessionId, "ana");
  const ben = await join(sessionId, "ben");
  await talk(ana, ben);
  for (const page of [ana, ben]) {
    await page.takes(Array(2).fill(means), ({ local }) => local.relayProtocol ?? local.protocol);
  }
}

describe("a client without UDP", () => {
  const call = useCall(
    network(() => {
      const server = addHost("server", SERVER.v4);
      const client = addHost("client", "203.0.113.30");
      client.allowOnly("meta l4proto tcp");
      return {
        within: server.within,
        http: `${SERVER.v4}:8080`,
        media: `${SERVER.v4}:3478`,
        env: { PARLOR_TURN_TCP: "true", PARLOR_MEDIA_TCP: "false" },
        site: SITE.v4,
        browser: () => client.browser(),
      };
    }),
  );

  test("sends its media over TCP", () => callBy("tcp", call));
});

describe("a client that reaches nothing but HTTPS", () => {
  const file = (name) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
  const [certificate, key] = ["first.pem", "first.key"].map(file);
  const { publicKey } = new X509Certificate(readFileSync(certificate));
  const spki = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
  // The SDK that makes the session has no other way to be told of a certificate.
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  const call = useCall(
    network(() => {
      const server = addHost("server", SERVER.v4);
      const client = addHost("client", "203.0.113.30");
      client.allowOnly("tcp dport 443", `ip daddr ${HUB.v4} tcp dport 80`);
      return {
        within: server.within,
        http: `${SERVER.v4}:443`,
        media: `${SERVER.v4}:3478`,
        url: `https://${SERVER.v4}`,
        env: {
          PARLOR_TURN_TCP: "true",
          PARLOR_MEDIA_TCP: "false",
          PARLOR_TLS_CERTIFICATE_FILE: certificate,
          PARLOR_TLS_KEY_FILE: key,
        },
        site: SITE.v4,
        browser: () => client.browser([`--ignore-certificate-errors-spki-list=${spki}`]),
      };
    }),
  );

  test("sends its media over TLS", () => callBy("tls", call));

  test("says so on the page that tests it", async () => {
    const found = await testNetwork(call.browser, call.parlor.url, "relayed");
    assertDetour(found, "relay-tls");
  });
});
