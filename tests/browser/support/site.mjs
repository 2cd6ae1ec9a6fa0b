// A site of its own, on another origin than the server: one page with the official client.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const client = require.resolve("@opentok/client/dist/js/opentok.min.js");
const here = (name) => new URL(name, import.meta.url);

const files = {
  "/": [here("page.html"), "text/html"],
  "/peers.js": [here("peers.js"), "text/javascript"],
  "/page.js": [here("page.js"), "text/javascript"],
  "/opentok.js": [client, "text/javascript"],
};

/** Serves the page at a host and port: `{url, stop}`. */
export async function startSite(host = "127.0.0.1", listen = 0) {
  const server = createServer(async (request, response) => {
    const file = files[new URL(request.url, "http://site").pathname];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": file[1] }).end(await readFile(file[0]));
  });
  await new Promise((resolve) => server.listen(listen, host, resolve));
  const { port } = server.address();
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${port}/`,
    stop: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}
