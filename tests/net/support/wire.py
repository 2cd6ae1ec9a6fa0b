#!/usr/bin/env python3
"""A line with a rate, a delay and losses, between the hub and a host (network.mjs).

    wire.py HOST NEAR FAR

makes an interface with the address NEAR here and one with the address FAR on the host, and carries
packets between them for as long as its standard input is open. A line of JSON there sets what the
line is like from then on, in both directions or in one:

    {"down": {"rate": 500000, "delay": 0.05, "loss": 0.05, "queue": 64000}, "up": {}}

bits per second (0: no limit), seconds, a share, and bytes that wait for their turn; further ones
are dropped. `down` is towards the host. Every such line is answered with the packets and bytes that
were carried, and the packets that were lost on the way or dropped at the queue, since the one
before. Random numbers are the same in every run.

Written because not every kernel has netem; tun devices do all that matters here.
"""

import fcntl
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
LONGEST = 65536  # bytes of a packet
MOST = 64  # packets that are read before something else gets its turn


def device(name):
    """A new tun interface: its file, from which packets are read, and to which they are written."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return file


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Direction:
    """One way through the line."""

    def __init__(self, source, sink, seed):
        self.source, self.sink = source, sink
        self.random = random.Random(seed)
        self.waiting = deque()  # (when it arrives, packet)
        self.free_at = 0.0  # when the last bit of what waits has been sent
        self.change({})

    def change(self, to):
        self.rate = to.get("rate", 0)
        self.delay = to.get("delay", 0)
        self.loss = to.get("loss", 0)
        self.queue = to.get("queue", 64_000)
        self.free_at = 0.0
        self.counts = {"packets": 0, "bytes": 0, "lost": 0, "dropped": 0}

    def take(self, now):
        """Reads what was sent."""
        for _ in range(MOST):
            try:
                packet = os.read(self.source, LONGEST)
            except BlockingIOError:
                return
            self.carry(packet, now)

    def carry(self, packet, now):
        if self.random.random() < self.loss:
            self.counts["lost"] += 1
            return
        start = max(now, self.free_at)
        if self.rate:
            if (start - now) * self.rate / 8 + len(packet) > self.queue:
                self.counts["dropped"] += 1
                return
            start += len(packet) * 8 / self.rate
            self.free_at = start
        # A line does not reorder, not even when its delay becomes shorter.
        last = self.waiting[-1][0] if self.waiting else 0
        self.waiting.append((max(start + self.delay, last), packet))

    def deliver(self, now):
        """Passes on what has arrived; returns the seconds until there is more, if there is."""
        while self.waiting and self.waiting[0][0] <= now:
            _, packet = self.waiting.popleft()
            try:
                os.write(self.sink, packet)
                self.counts["packets"] += 1
                self.counts["bytes"] += len(packet)
            except OSError:
                self.counts["dropped"] += 1
        return self.waiting[0][0] - now if self.waiting else None


def main(host, near, far):
    here, there = f"{host}1", "net1"
    hub, remote = device(here), device(f"{host}2")
    ip("link", "set", f"{host}2", "netns", host, "name", there)
    ip("addr", "add", near, "peer", far, "dev", here)
    ip("link", "set", here, "up", "txqueuelen", "5000")
    ip("-n", host, "addr", "add", far, "peer", near, "dev", there)
    ip("-n", host, "link", "set", there, "up", "txqueuelen", "5000")
    ip("-n", host, "route", "replace", "default", "via", near)

    down, up = Direction(hub, remote, seed=1), Direction(remote, hub, seed=2)
    print("{}", flush=True)
    wait = None
    while True:
        ready, _, _ = select.select([hub, remote, sys.stdin], [], [], wait)
        now = time.monotonic()
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            to = json.loads(line)
            print(json.dumps({"down": down.counts, "up": up.counts}), flush=True)
            down.change(to.get("down", {}))
            up.change(to.get("up", {}))
        for way in (down, up):
            if way.source in ready:
                way.take(now)
        waits = [seconds for way in (down, up) if (seconds := way.deliver(now)) is not None]
        wait = min(waits, default=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
