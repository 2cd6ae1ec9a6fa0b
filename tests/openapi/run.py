"""Schemathesis over every operation of the real binary's own description.

    target/schemathesis/bin/python tests/openapi/run.py [options of `schemathesis run`]
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "python")]

from hooks import signed  # noqa: E402
from support import Guest, Parlor  # noqa: E402


def create(info, path, ist, key, secret):
    """Creates something with all its defaults."""
    headers = {"X-OPENTOK-AUTH": signed(key, secret, ist), "Accept": "application/json"}
    request = urllib.request.Request(info["url"] + path, method="POST", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def enter(info, session):
    """Somebody who publishes in a session."""
    claims = {"scope": "session.connect", "session_id": session, "nonce": 1, "role": "publisher"}
    token = signed(info["api_key"], info["api_secret"], "project", **claims)
    return Guest(info, session, token)


def main():
    parlor = Parlor()
    try:
        info = parlor.info
        project = ("project", info["api_key"], info["api_secret"])
        account = ("account", info["account_key"], info["account_secret"])
        session = create(info, "/session/create", *project)[0]["session_id"]
        guest = enter(info, session)
        environment = os.environ | {
            "API_KEY": info["api_key"],
            "API_SECRET": info["api_secret"],
            "ACCOUNT_KEY": info["account_key"],
            "ACCOUNT_SECRET": info["account_secret"],
            "SESSION": session,
            "STREAM": guest.stream,
            "CONNECTION": guest.id,
            # What is suspended and deleted.
            "OTHER_KEY": create(info, "/v2/project", *account)["id"],
            "PYTHONPATH": str(HERE),
        }
        command = [str(Path(sys.executable).with_name("schemathesis"))]
        command += ["--config-file", str(HERE / "schemathesis.toml"), "run"]
        command += [f"{info['url']}/openapi.json", *sys.argv[1:]]
        failed = subprocess.run(command, env=environment, cwd=HERE).returncode
        guest.leave()
    finally:
        how = parlor.stop()
    if how != 0:
        sys.exit(f"the server ended with {how}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
