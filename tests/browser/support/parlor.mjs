// Starts the real binary as an operator would, on ports the kernel picks.

import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const binary = process.env.PARLOR_BIN ?? join(root, "target/debug/parlor");

/** Waits for `probe` to return something truthy; throws after `ms` with the last error. */
export async function eventually(what, probe, ms = 20_000) {
  const deadline = Date.now() + ms;
  let last;
  while (Date.now() < deadline) {
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what}: not within ${ms} ms`, { cause: last });
}

/**
 * A running server: `{url, api_key, api_secret, media_port, pid, log, stop}`. `within` is a command
 * that runs the one behind it somewhere else; `http` and `media` are where it listens there, `url`
 * is where others find it, if not there.
 */
export async function startParlor({
  args = [],
  env = {},
  within = [],
  http = "127.0.0.1:0",
  media = "127.0.0.1:0",
  url,
} = {}) {
  const data = await mkdtemp(join(tmpdir(), "parlor-test-"));
  const ready = join(data, "ready.json");
  const [command, ...rest] = [
    ...[...within, binary, "serve", "--dev", "--http", http, "--media", media],
    ...["--data", data, "--ready-file", ready, ...args],
  ];
  const options = { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } };
  const child = spawn(command, rest, options);
  let log = "";
  const keep = (chunk) => (log = (log + chunk).slice(-200_000));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));

  let info;
  try {
    info = await eventually("the server to be ready", async () => {
      if (child.exitCode !== null) throw new Error(`the server exited with ${child.exitCode}`);
      return JSON.parse(await readFile(ready, "utf8"));
    });
  } catch (error) {
    child.kill("SIGKILL");
    throw new Error(`${error.message}\n${log}`, { cause: error });
  }

  return {
    ...info,
    ...(url && { url }),
    log: () => log,
    /** Runs a command on its data; returns what it says. */
    async command(...words) {
      const { stdout } = await run(binary, [...words, "--data", data], { env: options.env });
      return stdout;
    },
    /** Ends it as an operator would; returns how it ended. */
    async stop() {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 15_000);
      const how = await exited;
      clearTimeout(late);
      await rm(data, { recursive: true, force: true });
      if (process.env.PARLOR_LOG) process.stderr.write(log);
      return how;
    },
  };
}
