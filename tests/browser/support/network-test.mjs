// The page /test, as somebody uses it who wants to know whether calls work on their network.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** All ways, each given up after some ten seconds. */
const PATIENCE_MS = 90_000;

const out = fileURLToPath(new URL("../out/", import.meta.url));

/** Makes the test of the server at `url` and reads what the page says; keeps a picture of it. */
export async function testNetwork(browser, url, picture) {
  const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  await page.goto(`${url}/test`);
  await page.getByRole("button", { name: "Test my network" }).click();
  const result = page.locator("#result");
  await result.waitFor({ state: "visible", timeout: PATIENCE_MS });
  const says = {};
  for (const row of await page.locator("#ways li").all()) {
    says[await row.getAttribute("id")] = await row.locator(".says").textContent();
  }
  const found = {
    grade: await result.getAttribute("data-grade"),
    title: await page.locator("#title").textContent(),
    advice: await page.locator("#advice").textContent(),
    says,
    wide: await page.evaluate(() => document.documentElement.scrollWidth > innerWidth),
  };
  await mkdir(out, { recursive: true });
  await page.screenshot({ path: `${out}network-test-${picture}.png`, fullPage: true });
  await page.close();
  assert.deepEqual(errors, [], "no exception in the page");
  return found;
}

/** What the page says on a network where UDP is blocked and these ways work; others are not offered. */
export function assertDetour({ says, title, advice }, ...working) {
  assert.equal(says.udp, "Blocked on this network");
  for (const [way, said] of Object.entries(says)) {
    if (working.includes(way)) assert.match(said, /^Works · \d+ ms there and back · /, way);
    else if (way !== "udp") assert.equal(said, "Not offered by this server", way);
  }
  // How good it is depends on how busy this machine is.
  assert.match(title, /^(Your network is ready for calls|Calls will (work, but not always well|be difficult on this network))\.$/);
  assert.match(advice, /The direct way over UDP is blocked on this network, so calls take a detour/);
}
