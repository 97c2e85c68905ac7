#!/usr/bin/env python3
"""A store of the scenes: one line of JSON in, one line out. It keeps every version.

Its file has no value that a search of files could find: that would be a copy which is declared nowhere.
A file `run/aim-store-before` or `run/aim-store-after` kills the driver at a write, and `run/dies-after-write` ends this
program after it wrote, before it answers. Each happens once.
"""

import base64
import json
import os
import signal
import sys

FOLDER = "@DIR@/run/"
STATE = FOLDER + "store.state"


def load():
    """The value of each version, the first one first."""
    try:
        with open(STATE, encoding="ascii") as file:
            return json.loads(base64.b64decode(file.read()[::-1]))
    except FileNotFoundError:
        return []


def save(values):
    text = base64.b64encode(json.dumps(values).encode()).decode()[::-1]
    part = STATE + ".part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    os.rename(part, STATE)


def once(name):
    try:
        os.remove(FOLDER + name)
    except FileNotFoundError:
        return False
    return True


def refused(reason, message):
    return {"error": {"reason": reason, "effect": "none", "message": message}}


def write(asked, values):
    if once("aim-store-before"):
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit(1)
    if asked["over"] != str(len(values)):
        return refused("conflict", f"version {len(values)} is given out")
    save([*values, asked["value"]])
    if once("aim-store-after"):
        os.kill(os.getppid(), signal.SIGKILL)
    if once("dies-after-write"):
        sys.exit(1)
    return {"version": str(len(values) + 1)}


def answer(asked):
    values = load()
    verb = asked.get("verb")
    if verb == "write":
        return write(asked, values)
    if verb == "check":
        return {"writable": True}
    if verb == "versions":
        last = len(values)
        labels = {last: ["current"]}
        return {"versions": [{"version": str(one), "labels": labels.get(one, [])} for one in range(1, last + 1)]}
    if verb == "read" and values:
        return {"version": str(len(values)), "value": values[-1]}
    if verb == "read":
        return refused("missing", "there is no version")
    return refused("other", f"there is no verb {verb}")


def main():
    asked = json.loads(sys.stdin.readline())
    if asked.get("protocol") != 1 or asked.get("item") != "prod/ring":
        told = refused("missing", "another protocol or another item")
    else:
        told = answer(asked)
    print(json.dumps({"protocol": 1, **told}), flush=True)


main()
