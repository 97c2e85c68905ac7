"""A small HTTP/1.1 server for a few short requests.

It is for loopback, without TLS. Every limit is a constant here. Each connection has one request and one answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import socket
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, Awaitable, Callable, NamedTuple, Sequence, Tuple, TypeVar

from ._quiet import quietly

LINE_BYTES_MAX = 8 * 1024
HEAD_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100
CONNECTIONS_MAX = 64
# Beyond this a connection gets no answer: each answer of 503 may stay open for a second.
REFUSED_MAX = 64
REQUEST_SECONDS = 10.0
ANSWER_SECONDS = 10.0
# What is read and thrown away after an answer, so that the client sees the answer and not a reset.
DISCARD_BYTES_MAX = 256 * 1024
DISCARD_SECONDS = 1.0
STOP_SECONDS = 5.0

Headers = Sequence[Tuple[str, str]]
"""The headers in their order; names in lower case, values as Latin-1."""
BodyReader = Callable[[int], Awaitable[bytes]]
"""Reads the body, of at most so many bytes. Raises `Refused`."""
log = logging.getLogger("keyroll")
T = TypeVar("T")


class Answer(NamedTuple):
    """A whole answer; the server adds its length."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[str, str, Headers, BodyReader], Awaitable[Answer]]
"""Method, path without the query, headers, and the body if it is asked for."""


class Refused(Exception):
    """The request ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"answered {answer.status}")
        self.answer = answer


class Away(Exception):
    """The client went away before its request was whole."""


def ok(value: object) -> Answer:
    return _json(200, "application/json", value)


def problem(status: int, detail: str, *headers: tuple[str, str]) -> Answer:
    """A refusal as in RFC 9457."""
    value = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return _json(status, "application/problem+json", value, *headers)


def _json(status: int, kind: str, value: object, *headers: tuple[str, str]) -> Answer:
    # A stored answer would show old states, and a browser must not guess that it is a page.
    fixed = (("content-type", kind), ("cache-control", "no-store"), ("x-content-type-options", "nosniff"))
    return Answer(status, json.dumps(value).encode("ascii") + b"\n", fixed + headers)


def every(headers: Headers, name: str) -> list[str]:
    return [value for key, value in headers if key == name]


def is_loopback(host: str) -> bool:
    """Whether this is `localhost` or an address of loopback, without a port."""
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        return None


def why_foreign(headers: Headers, hosts: Sequence[str]) -> str | None:
    """Why the request may come from a page of another site that a browser on this machine has loaded; None if not.

    `hosts` are the names besides loopback that the server is reached by. An unspecified address (0.0.0.0) among them
    stands for every address: only a name can be made to lead to another machine.
    """
    authority = every(headers, "host")
    if len(authority) != 1 or not _is_own(authority[0], hosts):
        return "the request's Host is not one that this server is reached by"
    for origin in every(headers, "origin"):
        scheme, _, its = origin.partition("://")
        if scheme not in ("http", "https") or its.lower() != authority[0].lower():
            return "the request comes from a page of another site (its Origin)"
    return None


def _is_own(authority: str, hosts: Sequence[str]) -> bool:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(:[0-9]{1,5})?", authority)
    if match is None:
        return False
    host = match[1].strip("[]").lower()
    everywhere = any(address is not None and address.is_unspecified for address in map(_address, hosts))
    return is_loopback(host) or host in hosts or (everywhere and _address(host) is not None)


async def settled(future: Future[Any], seconds: float) -> bool:
    """Waits in the running loop for the result of a thread; whether it came in time.

    Unlike `asyncio.wrap_future` it leaves the future alone when the waiter is cancelled, and a loop that was closed
    meanwhile is no error.
    """
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def tell(_: object) -> None:
        try:
            loop.call_soon_threadsafe(lambda: None if done.done() else done.set_result(None))
        except RuntimeError:
            pass  # The loop is closed: nobody waits any more.

    future.add_done_callback(tell)
    try:
        await asyncio.wait_for(done, max(0.0, seconds))
    except asyncio.TimeoutError:
        return future.done()
    return True


async def within(seconds: float, work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work()`, or its error, if it comes in time; else `asyncio.TimeoutError`."""
    found: list[T] = []
    failed: list[BaseException] = []
    await asyncio.wait_for(quietly(work, found, failed), max(0.0, seconds))
    if failed:
        raise failed.pop()
    return found[0]


class Server:
    """Serves `handle` on one socket until it is stopped."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._socket: socket.socket | None = None
        self._server: asyncio.AbstractServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[asyncio.Task[Any]] = set()
        self._idle: set[asyncio.Task[Any]] = set()
        self._stopping = False

    @property
    def is_dead(self) -> bool:
        """Whether the loop that served was closed, so that nobody is served any more."""
        return self._loop is None or self._loop.is_closed()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1]) if self._socket is not None else 0

    async def start(self, host: str, port: int) -> None:
        """Raises `OSError` that names address and port if they cannot be had; then nothing is open."""
        try:
            await self._listen(host, port)
        except OSError as error:
            kind = socket.gaierror if isinstance(error, socket.gaierror) else OSError
            why = f"cannot listen on {host}, port {port}: {error.strerror or type(error).__name__}"
            raise kind(error.errno, why) from None

    async def _listen(self, host: str, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        found = await self._loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # The socket is our own, so that it can be closed even if its loop is closed already.
        self._socket = socket.socket(family, kind, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
            self._server = await asyncio.start_server(self._serve, sock=self._socket, limit=LINE_BYTES_MAX, backlog=128)
        except BaseException:
            self._socket.close()
            raise

    async def stop(self) -> None:
        """Accepts nobody any more, and waits for the requests in flight: five seconds at most."""
        self._stopping = True
        if self._loop is not None and self._loop is not asyncio.get_running_loop() and self._loop.is_running():
            # Another thread serves: its sockets may be closed there only.
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.stop(), self._loop))
            return
        if self._server is not None and self._loop is asyncio.get_running_loop():
            self._server.close()
        self.close()
        for task in list(self._idle):
            task.cancel()
        waits = self._open - {asyncio.current_task()}
        if waits:
            _, late = await asyncio.wait(waits, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)

    def close(self) -> None:
        """Closes the socket alone; for a loop that was closed."""
        if self._socket is not None:
            self._socket.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if len(self._open) > CONNECTIONS_MAX + REFUSED_MAX:
                writer.transport.abort()
                return
            if len(self._open) > CONNECTIONS_MAX:
                busy = problem(503, "too many connections are open", ("retry-after", "1"))
                await _send(writer, busy, with_body=True)
            else:
                await self._request(reader, writer, task)
            await _linger(reader, writer)
        except asyncio.CancelledError:
            pass  # The server stops; there is nobody above who waits for this.
        except (OSError, Away, asyncio.TimeoutError):
            pass  # The client went away, or does not read.
        finally:
            self._open.discard(task)
            self._idle.discard(task)
            writer.close()

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[Any]
    ) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + REQUEST_SECONDS
        with_body = True
        self._idle.add(task)
        try:
            try:
                method, target, headers = await within(REQUEST_SECONDS, lambda: _head(reader))
            finally:
                self._idle.discard(task)
            with_body = method != "HEAD"
            if self._stopping:
                raise Refused(problem(503, "the server stops", ("retry-after", "5")))

            async def body(limit: int) -> bytes:
                return await _body(reader, writer, headers, limit, end - loop.time())

            answer = await self._handle(method, target.partition("?")[0], headers, body)
        except Refused as refused:
            answer = refused.answer
        except asyncio.TimeoutError:
            answer = problem(408, f"the request was not whole within {REQUEST_SECONDS:.0f} s")
        except asyncio.CancelledError:
            stops = problem(503, "the server stops", ("retry-after", "5"))
            writer.write(_bytes(stops, with_body))
            raise
        except (OSError, Away):
            raise
        except Exception as exc:  # noqa: BLE001 - its text may hold a value
            log.error("a request failed in the server: %s", type(exc).__name__)
            answer = problem(500, "the server failed; its log names the error")
        await _send(writer, answer, with_body)


async def _line(reader: asyncio.StreamReader, status: int) -> bytes:
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError:
        raise Refused(problem(status, "a line of the request's head is too long")) from None
    except asyncio.IncompleteReadError:
        raise Away from None
    return line[:-2] if line.endswith(b"\r\n") else line[:-1]


async def _head(reader: asyncio.StreamReader) -> tuple[str, str, Headers]:
    line = await _line(reader, 414)
    match = re.fullmatch(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21-\x7e]+) HTTP/1\.[01]", line)
    if match is None or not match[2].startswith(b"/"):
        raise Refused(problem(400, "the first line is not one of HTTP/1.1 with a path"))
    headers: list[tuple[str, str]] = []
    size = 0
    while True:
        line = await _line(reader, 431)
        if not line:
            return match[1].decode("ascii"), match[2].decode("ascii"), headers
        size += len(line) + 2
        if size > HEAD_BYTES_MAX or len(headers) >= HEADERS_MAX:
            raise Refused(problem(431, "the request has too many headers"))
        # A name with a space after it, or a folded line, would be read differently by others.
        # The blanks around a value are no part of the pattern: three repetitions in a row that match blanks would try
        # every way to share them out.
        header = re.fullmatch(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\x00-\x08\x0a-\x1f\x7f]*)", line)
        if header is None:
            raise Refused(problem(400, "a header is malformed"))
        headers.append((header[1].decode("ascii").lower(), header[2].strip(b" \t").decode("latin-1")))


async def _body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Headers, limit: int, seconds: float
) -> bytes:
    lengths = every(headers, "content-length")
    if every(headers, "transfer-encoding"):
        raise Refused(problem(411, "the body must come with a Content-Length, not in chunks"))
    if len(lengths) > 1 or any(re.fullmatch("[0-9]{1,18}", length) is None for length in lengths):
        raise Refused(problem(400, "the Content-Length is malformed"))
    length = int(lengths[0]) if lengths else 0
    if length == 0:
        return b""
    if length > limit:
        raise Refused(too_large(limit))
    if any(expect.lower() == "100-continue" for expect in every(headers, "expect")):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        return await within(seconds, lambda: reader.readexactly(length))
    except asyncio.IncompleteReadError:
        raise Away from None


def too_large(limit: int) -> Answer:
    return problem(413, f"the body has more than {limit} bytes")


def _bytes(answer: Answer, with_body: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines += [f"content-length: {len(answer.body)}", "connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + (answer.body if with_body else b"")


async def _send(writer: asyncio.StreamWriter, answer: Answer, with_body: bool) -> None:
    writer.write(_bytes(answer, with_body))
    try:
        await asyncio.wait_for(writer.drain(), ANSWER_SECONDS)
    except asyncio.TimeoutError:
        writer.transport.abort()  # Who does not read would otherwise keep the connection.
        raise


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads what the client still sends: closing a socket with unread bytes resets it, and takes the answer along."""

    async def discard() -> None:
        left = DISCARD_BYTES_MAX
        while left > 0:
            part = await reader.read(LINE_BYTES_MAX)
            if not part:
                return
            left -= len(part)

    if writer.can_write_eof():
        writer.write_eof()
    await asyncio.wait_for(discard(), DISCARD_SECONDS)
