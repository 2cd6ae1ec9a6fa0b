// The demo page with our own client: the same call once, in two tabs.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";

import { startBrowser } from "./support/browser.mjs";
import { eventually, startParlor } from "./support/parlor.mjs";
