// Hosts in the world that `tests/net/world` makes, and what connects them.

import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { startBrowser } from "../../browser/support/browser.mjs";

/** Where the hub, which is where tests run, is found by all hosts. */
export const HUB = { v4: "203.0.113.1", v6: "2001:db8::1" };

/** Where the hub serves the application's site, as `startSite` wants it. */
export const SITE = { v4: [HUB.v4, 80], v6: [HUB.v6, 80] };

/** Where a server is found. */
export const SERVER = { v4: "203.0.113.10", v6: "2001:db8::10" };

/** Sites that browsers are to trust as if they had TLS: without it there are no cameras. */
const TRUSTED = [`http://${HUB.v4}`, `http://[${HUB.v6}]`];

const [chromium, wire] = ["chromium", "wire.py"].map((name) => fileURLToPath(new URL(name, import.meta.url)));
const run = (command, args, input) => execFileSync(command, args, { input, stdio: "pipe" });

/** Makes `build` begin with no hosts, whatever ran before. */
export function network(build) {
  const names = (args) => run("ip", args).toString().split("\n").filter(Boolean).map((line) => line.split(/[ @]/)[0]);
  return () => {
    // A namespace goes some time after its name; what led there would stay as long.
    for (const cable of names(["-brief", "link", "show", "type", "veth"])) run("ip", ["link", "delete", cable]);
    for (const host of names(["netns", "list"])) run("ip", ["netns", "delete", host]);
    return build();
  };
}

/** A machine with a network of its own. */
class Host {
  constructor(name) {
    this.name = name;
    /** What runs the command behind it on this host. */
    this.within = ["ip", "netns", "exec", name];
    run("ip", ["netns", "add", name]);
    // Its addresses are usable at once: one that becomes so later is another network to a browser,
    // which then breaks off what it loads.
    run("ip", ["netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0"]);
    this.ip("link set lo up");
  }

  /** `ip` with these words, here. */
  ip(words) {
    run("ip", ["-n", this.name, ...words.split(" ")]);
  }

  /** Gives it another address at the hub's switch. */
  addAddress(address) {
    const [length, hub] = address.includes(":") ? ["64 nodad", HUB.v6] : [24, HUB.v4];
    this.ip(`addr add dev net0 ${address}/${length}`);
    this.ip(`route replace default via ${hub}`);
  }

  /** Takes away the IPv4 addresses that it has there and gives it another one. */
  move(address) {
    this.ip("-4 addr flush dev net0");
    this.addAddress(address);
  }

  /** Replaces all rules of the packet filter by these. */
  filter(rules) {
    const [command, ...rest] = [...this.within, "nft", "-f", "-"];
    run(command, rest, `flush ruleset\n${rules}`);
  }

  /** Lets nothing leave but what one of these says, as in `tcp dport 443`. */
  allowOnly(...rules) {
    this.filter(`
      table inet wall {
        chain out {
          type filter hook output priority filter; policy drop;
          oifname lo accept
          ${rules.map((rule) => `${rule} accept`).join("\n")}
        }
      }`);
  }

  /** A browser on this host, with further flags. */
  browser(flags = []) {
    return startBrowser({
      executablePath: chromium,
      env: { ...process.env, HOST: this.name },
      args: [`--unsafely-treat-insecure-origin-as-secure=${TRUSTED}`, ...flags],
    });
  }
}

/**
 * A host at the hub's switch, with these addresses: those in 203.0.113.0/24 and 2001:db8::/64 are
 * reached by everybody there.
 */
export function addHost(name, ...addresses) {
  const host = new Host(name);
  run("ip", ["link", "add", `${name}0`, "type", "veth", "peer", "name", "net0", "netns", name]);
  run("ip", ["link", "set", `${name}0`, "master", "net0", "up"]);
  host.ip("link set net0 up");
  for (const address of addresses) host.addAddress(address);
  return host;
}

/**
 * A host at `address`, of which the world only sees `router`, a host of `addHost`: what it sends
 * leaves from the router's address. With `ports` the router passes these on, as in
 * `tcp dport 8080`.
 */
export function addHostBehind(router, name, address, ports = []) {
  const host = new Host(name);
  const gateway = address.replace(/\d+$/, "1");
  router.ip(`link add lan0 type veth peer name net0 netns ${name}`);
  router.ip(`addr add ${gateway}/24 dev lan0`);
  router.ip("link set lan0 up");
  host.ip("link set net0 up");
  host.ip(`addr add ${address}/24 dev net0`);
  host.ip(`route add default via ${gateway}`);
  run("ip", ["netns", "exec", router.name, "sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  router.filter(`
    table ip nat {
      chain in {
        type nat hook prerouting priority dstnat;
        ${ports.map((port) => `iifname net0 ${port} dnat to ${address}`).join("\n")}
      }
      chain out { type nat hook postrouting priority srcnat; oifname net0 masquerade; }
    }`);
  return host;
}

/** A host at the end of a line, which is a perfect one at first. */
export function addHostAfar(name) {
  const host = new Host(name);
  const child = spawn("python3", [wire, name, "198.51.100.1", "198.51.100.2"], { stdio: ["pipe", "pipe", "inherit"] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ready = answers.next();
  return Object.assign(host, {
    /** Sets what the line is like (wire.py); returns what it did since that was last set. */
    async line(to) {
      await ready;
      child.stdin.write(`${JSON.stringify(to)}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error("the line is broken");
      return JSON.parse(value);
    },
    unplug: () => child.stdin.end(),
  });
}
