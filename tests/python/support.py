"""The real binary, and clients that join it."""

import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("PARLOR_BIN", str(ROOT / "target/debug/parlor"))
DEADLINE_S = 20


class Parlor:
    """A running playground, on ports that the kernel picks."""

    def __init__(self):
        self.data = tempfile.mkdtemp(prefix="parlor-test-")
        ready = Path(self.data, "ready.json")
        arguments = ["serve", "--dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0"]
        arguments += ["--data", self.data, "--ready-file", str(ready)]
        self.process = subprocess.Popen(
            [BINARY, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + DEADLINE_S
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError("the server did not start")
            time.sleep(0.05)
        self.info = json.loads(ready.read_text())

    def stop(self):
        """Ends it as an operator would; returns its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            shutil.rmtree(self.data, ignore_errors=True)


class Guest:
    """Somebody in a session, with a stream."""

    def __init__(self, info, session, token):
        argument = {"url": info["url"], "api_key": info["api_key"]}
        argument |= {"session": session, "token": token}
        self.process = subprocess.Popen(
            ["node", str(ROOT / "tests/python/guest.mjs"), json.dumps(argument)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        first = self._lines.get(timeout=DEADLINE_S)
        if first is None:
            raise RuntimeError("the guest could not join")
        self.id, self.stream, self.state = first["id"], first["stream"], first["state"]

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def event(self, method, path):
        """Waits for an event of this method whose path starts with `path`."""
        end = time.monotonic() + DEADLINE_S
        while True:
            event = self._lines.get(timeout=max(0.001, end - time.monotonic()))
            if event is None:
                raise RuntimeError(f"the guest left before {method} {path}")
            if event["method"] == method and event["path"].startswith(path):
                return event

    def leave(self):
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()
