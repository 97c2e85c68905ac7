#!/usr/bin/python3
"""Succeeds if the issuer accepts the key of a file. It writes down when, and with what every process was started."""
import hashlib
import http.client
import os
import pathlib
import sys
import time

os.umask(0)
with open("/srv/seen/processes", "ab") as seen:
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            names = ["cmdline"]
            # A worker has its key in its environment; keyroll-host must not.
            if (process / "comm").read_text().startswith("keyroll-host"):
                names.append("environ")
            for name in names:
                seen.write((process / name).read_bytes() + b"\n")
        except OSError:
            pass  # It has ended meanwhile, or may not be read.

text = pathlib.Path(sys.argv[1]).read_text()
key = next(line.split("=", 1)[1] for line in text.splitlines() if line.startswith("ORDERS_KEY="))
line = http.client.HTTPConnection("127.0.0.1", @PORT@, timeout=10)
line.request("GET", "/v1/me", headers={"X-Worker": "@HOST@", "Authorization": "Bearer " + key})
if line.getresponse().status != 200:
    sys.exit(1)
with open("/srv/seen/checked", "a") as checked:
    # The clock of systemd's timestamps, microseconds.
    checked.write(f"{time.monotonic_ns() // 1000} {hashlib.sha256(key.encode()).hexdigest()}\n")
