"""A token endpoint, a clock that a test moves, and the base of the tests of tokens."""

from __future__ import annotations

import http.server
import json
import threading
import unittest
from typing import Any, Callable
from urllib.parse import parse_qs

from keyroll import SelfExpiringTokenManager, TokenUnavailable
from tests.support import a_value


class Clock:
    """Stands still until it is moved; the wall clock on its own too."""

    def __init__(self) -> None:
        self.now, self.wall = 1000.0, 5000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


class TokenServer:
    """A token endpoint. ``answer`` gives the status, the body and further headers."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, list[str]], Any]] = []
        self.answer: Callable[[], tuple[int, Any, dict[str, str]]] = self.good
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                outer.requests.append((form, self.headers))
                status, body, headers = outer.answer()
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/token"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def good(self) -> tuple[int, Any, dict[str, str]]:
        return 200, {"access_token": a_value("token"), "expires_in": 3600, "token_type": "Bearer"}, {}

    def say(self, status: int, body: object, **headers: str) -> None:
        self.answer = lambda: (status, body, headers)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.endpoint = TokenServer()
        self.addCleanup(self.endpoint.close)
        self.clock = Clock()
        self.secret = a_value("client")

    def manager(self, **settings: Any) -> SelfExpiringTokenManager:
        given = {
            "refresh_url": self.endpoint.url, "client_id": "client", "client_secret": self.secret,
            "_clock": self.clock,
        }
        manager = SelfExpiringTokenManager(**{**given, **settings})
        self.addCleanup(manager.stop)
        return manager

    @property
    def asked(self) -> int:
        return len(self.endpoint.requests)

    def why(self, manager: SelfExpiringTokenManager) -> str:
        with self.assertRaises(TokenUnavailable) as caught:
            manager.token
        self.assertNotIn(self.secret, str(caught.exception))
        return str(caught.exception.reason)
