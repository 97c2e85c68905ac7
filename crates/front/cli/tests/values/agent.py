"""A program that takes its key from keyroll's socket, calls the issuer with it, and says which one it used.

Words: sdk, secret, port, name, refused, ready, lifeline, mode. Modes: plain; fork, which makes a child of the same kind;
get, which takes the key by the command `keyroll get` behind the other words, each time; tasks, which makes 200 tasks of one
loop that call beside each other, each with a connection of its own.
"""
import asyncio
import os
import subprocess
import sys
import time

sdk, secret, port, name, refused, ready, lifeline, mode, *command = sys.argv[1:]
sys.path.insert(0, sdk)
from calls import Link, write  # noqa: E402
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


link = Link(port, name)


def called(failed):
    """Writes down a call that failed, and once that calls are made."""
    if failed:
        with open(refused, "a") as log:
            log.write(f"{name} was refused\n")
    if not os.path.exists(ready):
        write(ready, str(os.getpid()))


async def task():
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))

    async def send(value):
        writer.write(f"GET /v1/me HTTP/1.1\r\nHost: x\r\nX-Worker: {name}\r\nAuthorization: Bearer {value}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("content-length:")[1].split()[0]))
        return int(head.split()[1])

    while os.path.exists("/proc/" + lifeline):
        attempt = await key.aattempt()
        while attempt is not None:
            status = await send(attempt.value)
            attempt = await attempt.arefused() if attempt.answered(status) else None
        called(status != 200)
        await asyncio.sleep(0.5)


async def tasks():
    await asyncio.gather(*[task() for _ in range(200)])


if mode == "tasks":
    asyncio.run(tasks())

while os.path.exists("/proc/" + lifeline):
    value, version = taken()
    status = link.call(value)
    if key is not None:
        key.used(version, status == 200)
    called(status != 200)
    time.sleep(0.03)
