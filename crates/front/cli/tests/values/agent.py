"""A program that takes its key from keyroll's socket, calls the issuer with it, and says which one it used.

Words: sdk, secret, port, name, refused, ready, lifeline, mode. Modes: plain; fork, which makes a child of the same kind;
get, which takes the key by the command `keyroll get` behind the other words, each time.
"""
import http.client
import os
import subprocess
import sys
import time

sdk, secret, port, name, refused, ready, lifeline, mode, *command = sys.argv[1:]
sys.path.insert(0, sdk)
from keyroll import RotatableSecret  # noqa: E402
from keyroll.sources import fetch_from_keyroll  # noqa: E402

key = value = None
if mode != "get":
    key = RotatableSecret(secret_name="KEY", fetch_fn=fetch_from_keyroll(secret))
if mode == "fork":
    assert key.value
    if os.fork() == 0:
        name += "-child"
        ready += "-child"


def taken():
    global value
    if key is not None:
        return key.value, key.version
    try:
        value = subprocess.check_output([*command, "get", secret, "--expires", "1"], text=True).strip()
    except subprocess.CalledProcessError:
        pass  # No server: the last good value.
    return value, None


link = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)


def call(value):
    # One connection for all calls: the issuer shows the process at its other end.
    for _ in range(2):
        try:
            link.request("GET", "/v1/me", headers={"X-Worker": name, "Authorization": "Bearer " + value})
            answer = link.getresponse()
            answer.read()
            return answer.status
        except (http.client.HTTPException, OSError):
            link.close()


while os.path.exists("/proc/" + lifeline):
    value, version = taken()
    status = call(value)
    if key is not None:
        key.used(version, status == 200)
    if status != 200:
        with open(refused, "a") as log:
            log.write(f"{name} was refused\n")
    if not os.path.exists(ready):
        with open(ready + "-new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(ready + "-new", ready)
    time.sleep(0.03)
