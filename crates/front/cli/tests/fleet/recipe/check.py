#!/usr/bin/python3
"""Succeeds if the issuer accepts the key of a file."""
import http.client
import pathlib
import sys

lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
key = next(line.split("=", 1)[1] for line in lines if line.startswith("ORDERS_KEY="))
line = http.client.HTTPConnection("127.0.0.1", @ISSUER@, timeout=10)
line.request("GET", "/v1/me", headers={"Authorization": "Bearer " + key})
sys.exit(0 if line.getresponse().status == 200 else 1)
