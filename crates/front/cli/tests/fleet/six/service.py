#!/usr/bin/python3 -u
"""A service that answers each call by one to its issuer, with the key of its environment. `/health` asks nobody."""
import http.client
import http.server
import os
import socketserver
import threading

HEADERS = {"X-Worker": "@HOST@", "Authorization": "Bearer " + os.environ["ORDERS_KEY"]}
BODY = b"@HOST@\n"
KEPT = threading.local()


def asked():
    """The status of a call to the issuer, on the connection that this thread keeps."""
    if not hasattr(KEPT, "line"):
        KEPT.line = http.client.HTTPConnection("127.0.0.1", @ISSUER@, timeout=30)
    KEPT.line.request("GET", "/v1/me", headers=HEADERS)
    answer = KEPT.line.getresponse()
    answer.read()
    return answer.status


class Calls(http.server.BaseHTTPRequestHandler):
    # Connections are kept.
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        status = 200 if self.path == "/health" or asked() == 200 else 502
        # One write: the second of two would wait for the acknowledgement of the first.
        self.wfile.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(BODY), BODY))


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", @PORT@), Calls).serve_forever()
