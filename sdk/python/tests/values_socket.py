"""A stand-in for the socket of ``keyroll serve``: it keeps a ledger, and misbehaves as a test wishes."""

from __future__ import annotations

import json
import os
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Optional

Reply = Optional[bytes]


class ValuesSocket:
    """Serves at ``path``. ``ledger`` has (pid, kind, body) in the order in which the server answered."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="keyroll-")
        self.path = str(Path(self._folder.name, "values.sock"))
        self.ledger: list[tuple[int, str, dict[str, Any]]] = []
        self.connections: list[socket.socket] = []
        self.accepted = 0
        # Gets each request; what it returns is sent instead of the answer. Empty bytes end the connection.
        self.words_max, self.words_seconds = 100, 1.0  # on one connection
        self.instead: Callable[[str, dict[str, Any]], Reply] = lambda kind, body: None
        self._changed = threading.Condition()
        self._values: dict[str, tuple[int, dict[str, Any]]] = {}
        self._given: set[tuple[int, str, int]] = set()
        self._listening: socket.socket | None = None
        self.start()

    def start(self) -> None:
        """Listens; again after ``stop``, with the ledger as it was."""
        listening = self._listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.path)
        listening.listen(64)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def stop(self) -> None:
        """Ends every connection; nobody listens any more."""
        listening, self._listening = self._listening, None
        if listening is not None:
            os.unlink(self.path)
            # A close alone would not end the accept of another thread.
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        self.cut()

    def cut(self) -> None:
        """Ends every connection."""
        with self._changed:
            connections, self.connections = self.connections, []
            self._changed.notify_all()
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def end(self) -> None:
        self.stop()
        self._folder.cleanup()

    def deliver(self, secret: str, version: int, value: Any, **fields: Any) -> None:
        """Gives out this version from now on."""
        with self._changed:
            self._values[secret] = (version, {"value": value, **fields})
            self._changed.notify_all()

    def said(self, *kinds: str, pid: int | None = None) -> list[tuple[Any, ...]]:
        """What the ledger has, short: ("get", 3), ("loaded", 3), ("used", 3, True, "main"), ("bye",)."""
        with self._changed:
            entries = list(self.ledger)
        short: list[tuple[Any, ...]] = []
        for who, kind, body in entries:
            if (not kinds or kind in kinds) and pid in (None, who):
                parts = (body[name] for name in ("version", "ok", "path") if name in body)
                short.append((kind, *parts))
        return short

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with self._changed:
                self.accepted += 1
                self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        second, words = 0.0, 0
        try:
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    (kind, body), = json.loads(line).items()
                    answer = self.instead(kind, body)
                    if time.monotonic() - second >= self.words_seconds:
                        second, words = time.monotonic(), 0
                    words += kind != "get"
                    if words > self.words_max:
                        answer = error("too many words within a second")
                    if answer is None:
                        answer = self._answer(connection, pid, kind, body)
                    if not answer:
                        return
                    connection.sendall(answer)
                    if b'"error"' in answer or not answer.endswith(b"\n"):
                        return
        except OSError:
            pass
        finally:
            with self._changed:
                if connection in self.connections:
                    self.connections.remove(connection)

    def _answer(self, connection: socket.socket, pid: int, kind: str, body: dict[str, Any]) -> bytes:
        secret = body["secret"]
        with self._changed:
            if kind == "get":
                return self._get(connection, pid, body)
            if kind != "bye" and (pid, secret, body["version"]) not in self._given:
                self.ledger.append((pid, "wrong", body))
                return error(f"this process was never given v{body['version']} of '{secret}'")
            self.ledger.append((pid, kind, body))
            return b'{"done":true}\n'

    def _get(self, connection: socket.socket, pid: int, body: dict[str, Any]) -> bytes:
        secret, have = body["secret"], body.get("have")
        end = time.monotonic() + (body.get("wait", 60) if have is not None else 0)
        while have is not None and self._values[secret][0] == have:
            left = end - time.monotonic()
            if left <= 0:
                return json.dumps({"unchanged": have}).encode() + b"\n"
            # By pieces: whoever closed the connection waits no more.
            self._changed.wait(min(left, 0.05))
            if connection not in self.connections or _closed(connection):
                return b""
        if secret not in self._values:
            return error("not served to uid 1000, /usr/bin/python3.11", help="name it in keyroll.toml")
        version, fields = self._values[secret]
        self._given.add((pid, secret, version))
        self.ledger.append((pid, "get", {"version": version}))
        return given(secret, version, **fields)


def _closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def given(secret: str, version: Any, value: Any, **fields: Any) -> bytes:
    """The answer with a version."""
    answer = {"secret": secret, "version": version, "fields": {"value": value, **fields}}
    if not fields:
        answer["value"] = value
    return json.dumps(answer).encode() + b"\n"


def error(sentence: str, **more: str) -> bytes:
    """The answer that refuses."""
    return json.dumps({"error": sentence, "code": "K0956", **more}).encode() + b"\n"
