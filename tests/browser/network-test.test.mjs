// The page /test, as somebody uses it who wants to know whether calls work on their network.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { startBrowser } from "./support/browser.mjs";
import { testNetwork } from "./support/network-test.mjs";
import { startParlor } from "./support/parlor.mjs";

let browser;
const servers = [];

before(async () => {
  browser = await startBrowser();
});

afterEach(async () => {
  for (const parlor of servers.splice(0)) {
    assert.deepEqual(await parlor.stop(), { code: 0, signal: null }, "SIGTERM ends the server cleanly");
  }
});

after(() => browser?.close());

async function serve(env) {
  const parlor = await startParlor({ env });
  servers.push(parlor);
  return parlor;
}

test("the page says which ways work, with figures, and which are not offered", async () => {
  const { url } = await serve({ PARLOR_TURN_TCP: "true" });
  const found = await testNetwork(browser, url, "open");
  // How good it is depends on how busy this machine is.
  assert.match(found.title, /^(Your network is ready for calls|Calls will (work|be difficult).*)\.$/, JSON.stringify(found));
  assert.ok(["good", "fair", "poor"].includes(found.grade), found.grade);
  assert.match(found.says.udp, /^Works · \d+ ms there and back · [\d.]+ % lost · \d+ ms uneven · up about [\d.]+ [Mk]bit\/s · down at least [\d.]+ [Mk]bit\/s$/);
  assert.doesNotMatch(found.says.udp, /down at least 0 kbit/, "a picture came back");
  assert.match(found.says["relay-tcp"], /^Works · /);
  assert.equal(found.says["relay-udp"], "Not offered by this server");
  assert.equal(found.says["relay-tls"], "Not offered by this server");
  assert.equal(found.wide, false, "a phone need not scroll sideways");
});

test("where UDP is dead the page says what is blocked and what is not offered", async () => {
  // Candidates at an address where nobody is, as behind a firewall that drops UDP.
  const { url } = await serve({ PARLOR_MEDIA_ANNOUNCE: "127.0.0.99" });
  const found = await testNetwork(browser, url, "dead");
  assert.equal(found.says.udp, "Blocked on this network");
  assert.equal(found.says["relay-tls"], "Not offered by this server");
  assert.equal(found.title, "Calls will not work on this network.");
  assert.equal(found.grade, "none");
  assert.match(found.advice, /firewall or VPN/);
});

test("more people than are let in are asked to come again, and the page can be switched off", async () => {
  const parlor = await serve({ PARLOR_LIMITS_NETWORK_TESTS: "1" });
  const ask = () => fetch(`${parlor.url}/test/session`, { method: "POST" });
  assert.equal((await ask()).status, 200);
  assert.equal((await ask()).status, 429);
  const page = await browser.newPage();
  await page.goto(`${parlor.url}/test`);
  await page.getByRole("button").click();
  await page.getByText("Many people are testing just now").waitFor();
  await page.close();

  const without = await serve({ PARLOR_LIMITS_NETWORK_TESTS: "0" });
  assert.equal((await fetch(`${without.url}/test`)).status, 404);
  assert.equal((await fetch(`${without.url}/test/session`, { method: "POST" })).status, 404);
});
