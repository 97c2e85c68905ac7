"""A controller that is served, and requests to it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import secrets
import socket
import threading
from typing import Any, Iterator

from keyroll import EmergencyRotationController

TOKEN = secrets.token_hex(16)
NAME = "ANTHROPIC_API_KEY"


@contextlib.contextmanager
def served(**settings: Any) -> Iterator[EmergencyRotationController]:
    """A controller that is served by a loop in another thread."""
    ctl = EmergencyRotationController(admin_token=TOKEN, **settings)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(ctl.start(port=0), loop).result(10)
    try:
        yield ctl
    finally:
        asyncio.run_coroutine_threadsafe(ctl.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def ask(
    ctl: EmergencyRotationController, method: str = "POST", path: str = "/rotate-secret", body: object = None,
    token: str | None = TOKEN, **headers: str,
) -> tuple[int, Any, dict[str, str]]:
    """The status, the JSON and the headers of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", ctl.port, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        sent["X-Admin-Token"] = token
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, sent)
    answer = connection.getresponse()
    text = answer.read()
    got = {name.lower(): value for name, value in answer.getheaders()}
    connection.close()
    return answer.status, json.loads(text) if text else None, got


def rotate(
    ctl: EmergencyRotationController, value: str, name: str = NAME, **more: Any
) -> tuple[int, Any, dict[str, str]]:
    return ask(ctl, body={"secret_name": name, "new_value": value}, **more)


def raw(ctl: EmergencyRotationController, request: bytes) -> bytes:
    """The whole answer to these bytes. A reset by the server is an error here."""
    with socket.create_connection(("127.0.0.1", ctl.port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while True:
            part = connection.recv(65536)
            if not part:
                return answer
            answer += part
