"""A secret whose source the test turns, and an API that accepts some keys."""

from __future__ import annotations

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from keyroll import RotatableSecret, Versioned


class Source:
    """A source with versions, as a store has them: a test adds one, and the secret has it after ``refresh()``."""

    def __init__(self, value: str | None = None) -> None:
        self.number = 0
        self.value = ""
        self.seconds = 0.0  # that a fetch takes
        self.began = 0.0
        self.turn(value)

    def turn(self, value: str | None = None) -> str:
        self.number += 1
        self.value = f"key-{self.number}-{secrets.token_hex(16)}" if value is None else value
        return self.value

    def __call__(self) -> Versioned:
        self.began = time.monotonic()
        time.sleep(self.seconds)
        return Versioned(self.value, f"v{self.number}", self.number)


def secret(source: Source, **options: Any) -> RotatableSecret:
    return RotatableSecret("THE_KEY", source, 3600, **options)


# The answers of two APIs, as their references give them.
CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "yes"}], "usage": {"input_tokens": 1, "output_tokens": 1},
}
HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


class Api:
    """An HTTP API on loopback that answers 401 to a key that is not in ``valid``.

    ``requests`` has (path, key, status, body) of each. ``/elsewhere?to=URL`` redirects.
    """

    def __init__(self) -> None:
        self.valid: set[str] = set()
        self.status = 401
        self.checks_redirects = False
        self.requests: list[tuple[str, str, int, bytes]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api._answer(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = _body(request)
        found = [request.headers[name] for name in HEADERS if request.headers[name]]
        key = found[0].removeprefix("Bearer ") if len(found) == 1 else ""
        path, _, query = request.path.partition("?")
        if path == "/elsewhere" and (key in self.valid or not self.checks_redirects):
            self.requests.append((path, key, 307, body))
            request.send_response(307)
            request.send_header("Location", query.removeprefix("to="))
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        status = 200 if key in self.valid else self.status
        self.requests.append((path, key, status, body))
        answer: Any = {"error": {"type": "authentication_error", "message": "no"}}
        if status == 200:
            answer = {"/v1/chat/completions": CHAT, "/v1/messages": MESSAGE}.get(path, {"ok": True})
        text = json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    @property
    def keys(self) -> list[str]:
        return [key for _, key, _, _ in self.requests]

    @property
    def statuses(self) -> list[int]:
        return [status for _, _, status, _ in self.requests]


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    whole = b""
    while True:
        size = int(request.rfile.readline().strip() or b"0", 16)
        whole += request.rfile.read(size)
        request.rfile.readline()
        if size == 0:
            return whole
