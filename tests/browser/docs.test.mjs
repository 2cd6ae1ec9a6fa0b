// The page of the REST API.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { startBrowser } from "./support/browser.mjs";
import { startParlor } from "./support/parlor.mjs";

const out = fileURLToPath(new URL("out/", import.meta.url));
let parlor, browser;

before(async () => {
  [parlor, browser] = await Promise.all([startParlor(), startBrowser()]);
  await mkdir(out, { recursive: true });
});

after(async () => {
  await browser?.close();
  await parlor?.stop();
});

test("every operation can be found, opened and read, without anything from elsewhere", async () => {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("request", (request) => request.url().startsWith(parlor.url) || errors.push(request.url()));

  await page.goto(`${parlor.url}/docs`);
  const document = await (await fetch(`${parlor.url}/openapi.json`)).json();
  const count = Object.values(document.paths).flatMap((methods) => Object.keys(methods)).length;
  await page.getByText(`${count} of ${count} operations`).waitFor();
  assert.equal(await page.locator("details").count(), count);

  await page.getByLabel("Search").fill("post /mute");
  const card = page.locator("#moderation\\.mute_session");
  await card.getByText("Mute a session").click();
  await card.getByText("excludedStreamIds", { exact: true }).waitFor();
  assert.match(await card.locator("pre").textContent(), /curl[^]*\/v2\/project\/\$API_KEY\/session\/\$SESSION\/mute/);
  await card.getByText("Invalid token").waitFor();
  assert.ok((await page.locator("details:visible").count()) < 6);
  await page.screenshot({ path: `${out}docs.png` });

  await page.goto(`${parlor.url}/docs#sessions.create`);
  await page.locator("#sessions\\.create").getByText("p2p.preference", { exact: true }).first().waitFor();
  await page.screenshot({ path: `${out}docs-create.png` });
  assert.deepEqual(errors, []);
  await page.close();
});
