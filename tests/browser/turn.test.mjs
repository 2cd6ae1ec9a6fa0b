// Media through the embedded TURN server, with the unmodified official client told to relay.

import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { startBrowser } from "./support/browser.mjs";
import { useCall } from "./support/call.mjs";

const initOptions = { iceConfig: { includeServers: "all", transportPolicy: "relay", customServers: [] } };

/** Two people in a session of this kind see each other, each through TURN by this way. */
async function relayed({ createSession, join }, mediaMode, way) {
  const sessionId = await createSession({ mediaMode });
  const ana = await join(sessionId, "ana", "publisher", { initOptions });
  const ben = await join(sessionId, "ben", "publisher", { initOptions });
  const [anas, bens] = [await ana.publish(), await ben.publish()];
  await Promise.all([ana.subscribe(bens), ben.subscribe(anas)]);
  await Promise.all([ana.flowing(bens), ben.flowing(anas)]);
  for (const page of [ana, ben]) {
    await page.takes(Array(2).fill(`relay ${way}`), ({ local }) => `${local.candidateType} ${local.relayProtocol}`);
  }
}

describe("over UDP", () => {
  const call = useCall({ env: { PARLOR_TURN_LISTEN: "127.0.0.1:0" } });
  test("a routed session is relayed", () => relayed(call, "routed", "udp"));
  test("a relayed session is relayed from client to client", () => relayed(call, "relayed", "udp"));
});

describe("over TCP", () => {
  const call = useCall({ env: { PARLOR_TURN_TCP: "true" } });
  test("a routed session is relayed", () => relayed(call, "routed", "tcp"));
  test("a relayed session is relayed from client to client", () => relayed(call, "relayed", "tcp"));
});

describe("over TLS", () => {
  const file = (name) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
  const [certificate, key] = ["first.pem", "first.key"].map(file);
  const { publicKey } = new X509Certificate(readFileSync(certificate));
  const spki = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
  // The SDK that makes the session has no other way to be told of a certificate.
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  const call = useCall({
    env: { PARLOR_TURN_TCP: "true", PARLOR_TLS_CERTIFICATE_FILE: certificate, PARLOR_TLS_KEY_FILE: key },
    browser: () => startBrowser({ args: [`--ignore-certificate-errors-spki-list=${spki}`] }),
  });
  test("a routed session is relayed", () => relayed(call, "routed", "tls"));
});
