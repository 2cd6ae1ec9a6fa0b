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
from support import Parlor  # noqa: E402


def create_session(info):
    """A routed session of the playground's project."""
    token = signed(info["api_key"], info["api_secret"], "project")
    headers = {"X-OPENTOK-AUTH": token, "Accept": "application/json"}
    request = urllib.request.Request(f"{info['url']}/session/create", method="POST", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)[0]["session_id"]


def main():
    parlor = Parlor()
    try:
        info = parlor.info
        environment = os.environ | {
            "API_KEY": info["api_key"],
            "API_SECRET": info["api_secret"],
            "ACCOUNT_KEY": info["account_key"],
            "ACCOUNT_SECRET": info["account_secret"],
            "SESSION": create_session(info),
            "PYTHONPATH": str(HERE),
        }
        command = [str(Path(sys.executable).with_name("schemathesis"))]
        command += ["--config-file", str(HERE / "schemathesis.toml"), "run"]
        command += [f"{info['url']}/openapi.json", *sys.argv[1:]]
        failed = subprocess.run(command, env=environment, cwd=HERE).returncode
    finally:
        how = parlor.stop()
    if how != 0:
        sys.exit(f"the server ended with {how}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
