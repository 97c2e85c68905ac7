"""One connection to keyroll's socket in the thread that waits for all of them. Nothing here blocks."""

from __future__ import annotations

import math
import random
import selectors
import time
from typing import Any

from . import _wire
from .errors import SourceError

LINK_ERRORS = (SourceError, OSError, KeyError, ValueError)
"""What a connection may raise. The last two: of a selector, for a descriptor that the program closed."""
ANSWER_SECONDS_MAX = 5.0
RETRY_SECONDS_FIRST = 0.2
RETRY_SECONDS_MAX = 15.0
STEADY_SECONDS = 5.0
"""A connection that held for less counts as one more failure."""
_PIECE_BYTES = 64 * 1024


class Link:
    """A connection with at most one request under way. Its buffer may hold a value: nothing shows it."""

    __slots__ = ("opened", "deadline", "_secret", "_selector", "_sock", "_out", "_in", "_size")

    def __init__(self, selector: selectors.BaseSelector, path: str, secret: str, owner: object) -> None:
        self.opened = time.monotonic()
        self.deadline = math.inf  # finite while a request is under way
        self._secret = secret
        self._out = b""
        self._in: list[bytes] = []
        self._size = 0
        self._selector = selector
        self._sock = _wire.connect(path, secret)
        try:
            selector.register(self._sock, selectors.EVENT_READ, owner)
        except BaseException:
            _wire.close(self._sock)
            raise

    @property
    def busy(self) -> bool:
        """Whether an answer is awaited."""
        return self.deadline != math.inf

    def send(self, request: bytes, seconds: float) -> None:
        """Sends a request, whose answer is awaited for ``seconds``."""
        self._out = request
        self.deadline = time.monotonic() + seconds
        self._flush()

    def receive(self) -> bytes | None:
        """Reads what is there. The answer once it is whole; SourceError if it cannot become an answer any more."""
        self._flush()
        try:
            piece = self._sock.recv(_PIECE_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise _broken(self._secret, error) from None
        if not piece:
            raise _wire.failure(self._secret, "half an answer" if self._in else "the server ended the connection")
        if not self.busy:
            raise _wire.failure(self._secret, "the server answers what was not asked")
        self._in.append(piece)
        self._size += len(piece)
        if self._size > _wire.LINE_BYTES_MAX:
            raise _wire.failure(self._secret, "the answer is longer than 1 MiB")
        if b"\n" not in piece:
            return None
        raw, self._in, self._size = b"".join(self._in), [], 0
        self.deadline = math.inf
        return _wire.whole(raw, self._secret)

    def close(self) -> None:
        """Ends the connection. Can be called again."""
        try:
            self._selector.unregister(self._sock)
        except (KeyError, ValueError, OSError):
            pass
        self.abandon()

    def abandon(self) -> None:
        """In a forked child: closes the child's descriptor. The connection is the parent's and stays open."""
        self._in, self._out = [], b""
        _wire.close(self._sock)

    def _flush(self) -> None:
        if not self._out:
            return
        try:
            self._out = self._out[self._sock.send(self._out, _wire.NO_SIGNAL) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            raise _broken(self._secret, error) from None
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
        registered: Any = self._selector.get_key(self._sock)
        if registered.events != events:
            self._selector.modify(self._sock, events, registered.data)


def _broken(secret: str, error: OSError) -> SourceError:
    return _wire.failure(secret, f"the connection broke ({type(error).__name__})")


class Retry:
    """When to connect again: ever later, and not all processes of the machine at the same moment."""

    __slots__ = ("at", "_failures")

    def __init__(self) -> None:
        self.at = 0.0
        self._failures = 0

    def failed(self, now: float, lived: float = 0.0) -> None:
        """There is no connection, or it ended after ``lived`` seconds."""
        self._failures = 0 if lived >= STEADY_SECONDS else self._failures + 1
        pause = RETRY_SECONDS_FIRST * 2.0 ** min(max(self._failures - 1, 0), 20)
        self.at = now + min(RETRY_SECONDS_MAX, pause) * random.uniform(0.5, 1.0)
