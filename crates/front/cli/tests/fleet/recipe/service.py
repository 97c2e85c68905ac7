#!/usr/bin/python3 -u
"""A service that answers each call by one to its issuer, with the key of its environment. `ready` waits until it listens."""
import hashlib
import http.client
import http.server
import os
import pathlib
import socketserver
import sys
import time

PORT = @PORT@
# With this file a key whose digest is not in it is written down as refused.
REFUSES = pathlib.Path("/srv/seen/refuses")


def asked():
    """The status of a call to the issuer."""
    line = http.client.HTTPConnection("127.0.0.1", @ISSUER@, timeout=10)
    line.request("GET", "/v1/me", headers={"X-Worker": "@HOST@", "Authorization": "Bearer " + os.environ["ORDERS_KEY"]})
    return line.getresponse().status


class Calls(http.server.BaseHTTPRequestHandler):
    counted = {200: 0, 502: 0}

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/metrics":
            lines = [f'calls_total{{code="{code}"}} {number}\n' for code, number in self.counted.items()]
            status, body = 200, "".join(lines).encode()
        else:
            status, body = (200, b"ok\n") if asked() == 200 else (502, b"refused\n")
            self.counted[status] += 1
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


if sys.argv[1] == "ready":
    while True:
        try:
            line = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
            line.request("GET", "/metrics")
            sys.exit(0 if line.getresponse().status == 200 else 1)
        except OSError:
            time.sleep(0.02)

digest = hashlib.sha256(os.environ["ORDERS_KEY"].encode()).hexdigest()
refused = REFUSES.exists() and REFUSES.read_text().strip() != digest
print("login accepted" if asked() == 200 and not refused else "login refused")
Server(("127.0.0.1", PORT), Calls).serve_forever()
