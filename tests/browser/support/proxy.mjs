// A TCP proxy that the test owns: it can cut every connection through it, or go away for a while.

import { createServer, connect } from "node:net";

/** Passes everything on to the server at `target` (a URL): `{url, cut, refuse, accept, stop}`. */
export async function startProxy(target) {
  const { hostname, port } = new URL(target);
  const pairs = new Set();
  let refusing = false;

  const server = createServer((near) => {
    if (refusing) return near.destroy();
    const far = connect(Number(port), hostname);
    const pair = [near, far];
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    for (const socket of pair) socket.on("error", end).on("close", end);
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

  const cut = () => {
    for (const pair of [...pairs]) for (const socket of pair) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Ends every connection at once, without a closing handshake. */
    cut,
    /** Ends every connection and lets no new one through. */
    refuse() {
      refusing = true;
      cut();
    },
    /** Lets connections through again. */
    accept() {
      refusing = false;
    },
    async stop() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
