"""What schemathesis is taught about this API: who signs what."""

import base64
import hashlib
import hmac
import json
import os
import time

import schemathesis


def signed(key, secret, ist, **more):
    """A JWT as SDKs make it, good for the longest time that is allowed."""
    now = int(time.time())
    claims = {"iss": key, "ist": ist, "iat": now, "exp": now + 300} | more
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    message = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    tag = hmac.new(secret.encode(), message, hashlib.sha256).digest()
    return (message + b"." + base64.urlsafe_b64encode(tag).rstrip(b"=")).decode()


@schemathesis.auth(refresh_interval=None)
class Signed:
    """Signs each request anew."""

    def get(self, case, context):
        whose = "ACCOUNT" if "Projects" in (context.operation.tags or []) else "API"
        ist = {"ACCOUNT": "account", "API": "project"}[whose]
        return signed(os.environ[f"{whose}_KEY"], os.environ[f"{whose}_SECRET"], ist)

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["X-OPENTOK-AUTH"] = data
