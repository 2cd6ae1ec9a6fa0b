// TURN with Firefox and Chromium at the two ends, with the unmodified official client told to relay.

import { after, before, describe, test } from "node:test";

import { startFirefox } from "../browser/support/browser.mjs";
import { useCall } from "../browser/support/call.mjs";

const initOptions = { iceConfig: { includeServers: "all", transportPolicy: "relay", customServers: [] } };

for (const [way, env] of Object.entries({
  udp: { PARLOR_TURN_LISTEN: "203.0.113.1:0" },
  tcp: { PARLOR_TURN_TCP: "true" },
})) {
  describe(`over ${way.toUpperCase()}`, () => {
    const call = useCall({ media: "203.0.113.1:0", http: "203.0.113.1:0", env });
    let firefox;
    before(async () => (firefox = await startFirefox()));
    after(() => firefox?.close());

    for (const mediaMode of ["routed", "relayed"]) {
      test(`Firefox and Chromium see each other in a ${mediaMode} session`, async () => {
        const sessionId = await call.createSession({ mediaMode });
        const ana = await call.join(sessionId, "ana", "publisher", { initOptions, browser: firefox });
        const ben = await call.join(sessionId, "ben", "publisher", { initOptions });
        await call.talk(ana, ben);
        for (const page of [ana, ben]) {
          await page.takes(Array(2).fill(`relay ${way}`), ({ local }) => `${local.candidateType} ${local.relayProtocol}`);
        }
      });
    }
  });
}
