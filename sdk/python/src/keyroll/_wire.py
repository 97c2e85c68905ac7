"""keyroll's socket: where it is, and what is sent over it. One JSON object per line, and one answer per request."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import socket
import time
from typing import Any, Mapping, Union

from ._values import Unpicklable
from .errors import SourceError

LINE_BYTES_MAX = 1024 * 1024
"""The longest answer. A value has at most 64 KiB; JSON can write each of its bytes as six."""
NAME_BYTES_MAX = 256
"""Of a secret, a field and a path: the server takes requests of at most 4096 bytes."""
PATH_BYTES_MAX = 107  # sun_path of unix(7)
VERSION_MAX = 2**32 - 1
SENTENCE_MAX = 400
DEFAULT_SOCKET = "/run/keyroll/values.sock"
_BUSY_SECONDS = 0.02
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
"""A program may have SIGPIPE's default back, and must not end because the server did."""


class Given(Unpicklable):
    """A version of the secret. Without a ``__dict__``: what prints the attributes of an object would print values."""

    __slots__ = ("version", "value", "fields")

    def __init__(self, version: int, value: object, fields: Mapping[str, object]) -> None:
        self.version = version
        self.value = value
        self.fields = fields

    def __repr__(self) -> str:
        return f"<Given version={self.version}>"


class Unchanged:
    """The version that was asked about is still the one to use."""

    __slots__ = ("version",)

    def __init__(self, version: int) -> None:
        self.version = version


class Done:
    """The server wrote down what it was told."""

    __slots__ = ()


class ServerError(SourceError):
    """The server's own sentence: it understood the request and refuses it."""


Reply = Union[Given, Unchanged, Done]


def socket_path(given: str | None) -> str:
    """The socket to connect to; looked up each time, because it may appear after the program began."""
    if given is not None:
        return given
    chosen = os.environ.get("KEYROLL_SOCKET")
    if chosen:
        return chosen
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        own = os.path.join(runtime, "keyroll", "values.sock")
        if os.path.exists(own):
            return own
    return DEFAULT_SOCKET


def connect(path: str, secret: str) -> socket.socket:
    """A connection that never blocks. SourceError says why there is none."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise failure(secret, "this system has no unix sockets")
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise failure(secret, f"the path of the socket {path} is longer than {PATH_BYTES_MAX} bytes")
    made: socket.socket | None = None
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        made.connect(path)
        return made
    except BlockingIOError:
        # A unix socket connects at once; only with a full queue of connections it does not.
        reason, busy = f"the server at {path} is busy", True
    except FileNotFoundError:
        reason, busy = f"there is no socket {path}: does keyroll serve run?", False
    except ConnectionRefusedError:
        reason, busy = f"nobody listens at {path}: does keyroll serve run?", False
    except PermissionError:
        reason, busy = f"permission denied for {path}: this user may not connect to it", False
    except (OSError, ValueError) as error:
        reason, busy = f"cannot connect to {path} ({_kind(error)})", False
    if made is not None:
        close(made)
    raise Busy(str(failure(secret, reason))) if busy else failure(secret, reason)


class Busy(SourceError):
    """The server has more connections waiting than it takes at once."""


def close(sock: socket.socket) -> None:
    """Closes a connection, also if the program closed its descriptor already."""
    try:
        sock.close()
    except OSError:
        pass


def failure(secret: str, reason: str) -> SourceError:
    """The error of the source of one secret."""
    return SourceError(f"keyroll, {secret}: {reason}")


def get(secret: str, have: int | None = None, wait: int = 0) -> bytes:
    """Asks for the version to use; with ``have`` for another than that, for up to ``wait`` seconds."""
    body: dict[str, object] = {"secret": secret}
    if have is not None:
        body.update(have=have, wait=wait)
    return line("get", body)


def line(kind: str, body: Mapping[str, object]) -> bytes:
    """One request."""
    return json.dumps({kind: body}, separators=(",", ":")).encode() + b"\n"


def fits(name: object) -> bool:
    """Whether a name can be sent: text that is not empty and not long."""
    if not isinstance(name, str) or not name.strip():
        return False
    try:
        return len(name.encode("utf-8")) <= NAME_BYTES_MAX and name.isprintable()
    except UnicodeEncodeError:
        return False


def ask(path: str, secret: str, seconds: float) -> Given:
    """Asks once, on a connection of its own, within ``seconds`` for all of it."""
    end = time.monotonic() + seconds
    sock = _connected(path, secret, end)
    try:
        raw = _exchange(sock, get(secret), secret, end)
    finally:
        close(sock)
    reply = read(raw, secret)
    if not isinstance(reply, Given):
        raise failure(secret, "the answer is not understood: it has no version")
    return reply


def _connected(path: str, secret: str, end: float) -> socket.socket:
    while True:
        try:
            return connect(path, secret)
        except Busy:
            if time.monotonic() + 2 * _BUSY_SECONDS > end:
                raise
        time.sleep(_BUSY_SECONDS * random.uniform(0.5, 1.5))


def _exchange(sock: socket.socket, request: bytes, secret: str, end: float) -> bytes:
    """Sends the request and returns the line that answers it."""
    pieces: list[bytes] = []
    size = 0
    reason = "no answer in time"
    try:
        sock.settimeout(max(0.001, end - time.monotonic()))
        sock.sendall(request, NO_SIGNAL)
        while True:
            left = end - time.monotonic()
            if left <= 0:
                break
            # The limit is for the whole answer, and that of the socket begins again with each byte.
            sock.settimeout(left)
            piece = sock.recv(65536)
            if not piece:
                reason = "half an answer" if pieces else "the server ended the connection without an answer"
                break
            size += len(piece)
            pieces.append(piece)
            if size > LINE_BYTES_MAX:
                reason = "the answer is longer than 1 MiB"
                break
            if b"\n" in piece:
                return whole(b"".join(pieces), secret)
    except socket.timeout:
        pass
    except OSError as error:
        reason = f"no answer ({_kind(error)})"
    raise failure(secret, reason)


def whole(raw: bytes, secret: str) -> bytes:
    """The one line of an answer."""
    text, _, rest = raw.partition(b"\n")
    if rest:
        raise failure(secret, "the answer is not understood: more than one line")
    return text


def read(raw: bytes, secret: str) -> Reply:
    """What an answer says. SourceError for one that is not understood, and no part of it is shown."""
    document: Any = None
    try:
        document = json.loads(raw.decode("utf-8"), parse_int=_whole_number)
    except (ValueError, RecursionError):
        pass  # raised outside of the handler: the error of the decoder holds the text
    if not isinstance(document, dict):
        raise failure(secret, "the answer is not understood: it is no JSON object")
    if "error" in document:
        raise _refusal(document, secret)
    if document.get("done") is True:
        return Done()
    if "unchanged" in document:
        return Unchanged(_version(document["unchanged"], secret))
    if document.get("secret") != secret:
        raise failure(secret, "the answer is for another secret")
    version = _version(document.get("version"), secret)
    fields = document.get("fields")
    return Given(version, document.get("value"), fields if isinstance(fields, dict) else {})


def _whole_number(digits: str) -> object:
    # A number of many digits takes long to read, and none here has many.
    return int(digits) if len(digits) <= 20 else math.nan


def _version(number: object, secret: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= VERSION_MAX:
        raise failure(secret, "the answer is not understood: it has no version")
    return number


def _refusal(document: Mapping[str, object], secret: str) -> ServerError:
    said = _sentence(document.get("error")) or "the server refuses, and does not say why"
    code, advice = _sentence(document.get("code")), _sentence(document.get("help"))
    text = f"{said} ({code})" if code else said
    return ServerError(str(failure(secret, f"{text}; {advice}" if advice else text)))


def _sentence(text: object) -> str:
    """Text of the server for a log: one line, and not long."""
    if not isinstance(text, str):
        return ""
    shown = "".join(each if each.isprintable() else " " for each in text[: 4 * SENTENCE_MAX])
    return " ".join(shown.split())[:SENTENCE_MAX]


def _kind(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number or 0, type(error).__name__)
