#!/usr/bin/python3
"""`drain`: the balancer gives this instance no more calls; waits until it has none. `ready`: waits until the instance answers,
and until the balancer gives it calls again."""
import csv
import http.client
import socket
import sys
import time

INSTANCE = "@HOST@"


def told(line):
    """What the balancer says to a line of its runtime API."""
    with socket.create_connection(("127.0.0.1", @ADMIN@), timeout=10) as admin:
        admin.sendall(line.encode() + b"\n")
        return b"".join(iter(lambda: admin.recv(65536), b"")).decode()


def row():
    """What the balancer knows of this instance."""
    rows = csv.DictReader(told("show stat").lstrip("# ").splitlines())
    return next(one for one in rows if (one["pxname"], one["svname"]) == ("app", INSTANCE))


def answers():
    line = http.client.HTTPConnection("127.0.0.1", @PORT@, timeout=10)
    try:
        line.request("GET", "/health")
        return line.getresponse().status == 200
    except OSError:
        return False


def wait(until):
    while not until():
        time.sleep(0.02)


state = sys.argv[1]
if state == "ready":
    wait(answers)
refused = told(f"set server app/{INSTANCE} state {state}").strip()
if refused:
    sys.exit(refused)
if state == "ready":
    wait(lambda: row()["status"].startswith("UP"))
else:
    wait(lambda: row()["scur"] == "0")
