// A slow network in user space: a UDP proxy in front of the server's media port, which lets as
// many bits a second through to the clients as the test wants.

import { createSocket } from "node:dgram";

/** Bytes that wait in front of the bottleneck; further ones are dropped. */
const QUEUE = 64_000;

/** A link to `port` on this host: `{port, limit, stop}`. */
export async function startLink(port) {
  const near = createSocket("udp4");
  const clients = new Map();
  let rate = Infinity;
  let freeAt = 0;

  const carry = (datagram, { address, port }) => {
    const now = performance.now();
    const wait = Math.max(0, freeAt - now);
    if (rate === Infinity) return near.send(datagram, port, address);
    if ((wait / 1000) * (rate / 8) + datagram.length > QUEUE) return;
    freeAt = Math.max(now, freeAt) + (datagram.length * 8 * 1000) / rate;
    setTimeout(() => near.send(datagram, port, address, () => {}), freeAt - now);
  };
  near.on("message", (datagram, from) => {
    const key = `${from.address}:${from.port}`;
    let far = clients.get(key);
    if (!far) {
      far = createSocket("udp4");
      far.on("message", (answer) => carry(answer, from));
      clients.set(key, far);
    }
    far.send(datagram, port, "127.0.0.1");
  });
  await new Promise((resolve) => near.bind(0, "127.0.0.1", resolve));

  return {
    port: near.address().port,
    /** Bits a second towards the clients from now on. */
    limit(bits) {
      rate = bits;
      freeAt = 0;
    },
    stop() {
      near.close();
      for (const far of clients.values()) far.close();
    },
  };
}
