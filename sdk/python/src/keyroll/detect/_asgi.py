"""The ASGI middleware that redacts answers."""
from __future__ import annotations

import re
from typing import Any, Awaitable, Callable, Iterable, NoReturn

from ._events import Events
from ._known import Known
from ._output import Checker
from ._pieces import OnLeak, Pieces, tell

# Servers send files for an app that names them: those bytes would pass by.
_PAST_THE_APP = ("http.response.pathsend", "http.response.zerocopysend")
# In `multipart/x-mixed-replace` are the pictures of cameras.
_TEXT = re.compile(
    rb"\s*(?:text/|message/|multipart/(?!x-mixed-replace)"
    rb"|[^;]*[/+](?:x-)?(?:(?:nd|ld)?json|jsonl|jsonlines|json5|xml|javascript|ecmascript|graphql|yaml|toml|csv|sql|sh"
    rb"|rtf|http|logfmt|www-form-urlencoded)(?![a-z0-9_]))",
    re.IGNORECASE,
)
_WIDE = re.compile(rb"charset\s*=\s*\"?(?:utf-?16|utf-?32|utf-?7|ucs)", re.IGNORECASE)
_EVENTS = re.compile(rb"\s*text/event-stream\b", re.IGNORECASE)
# The browser of a person gets its own credentials in these.
_PRIVATE_HEADERS = frozenset((b"set-cookie",))
# A part of a body may begin within a secret: apps are asked for the whole, and nobody is told that there are parts.
_RANGE_HEADERS = frozenset((b"range", b"if-range"))
_RANGE_OFFERS = frozenset((b"accept-ranges",))
# Answers without a body: their Content-Length is that of another answer.
_BODILESS = frozenset((204, 304))
# A frame that closes a websocket has no place for more.
_REASON_BYTES_MAX = 123

Headers = list[tuple[bytes, bytes]]
Send = Callable[[Any], Awaitable[None]]


class AgentOutputMiddleware:
    """Redacts secrets in the answers of an ASGI app: ``app = AgentOutputMiddleware(app, known=[key])``.

    Make it the outermost layer: what frameworks put around added middlewares, such as Starlette's page for errors, is
    outside of ``app.add_middleware(AgentOutputMiddleware)``.

    Redacted are bodies of text, JSON, lines of JSON, XML, forms, multipart and events, and those without a type, as by
    ``RedactingStream``: in pieces as they come, with the last word held back. An answer that comes in one piece keeps a
    right Content-Length; of another one it is removed. One within a part of multipart stays as it is. Headers are
    redacted too, except Set-Cookie; so are messages of websockets, one by one, the headers that accept one and the
    reason that closes it. Requests for a part of a body (``Range``) reach the app as requests for the whole.

    In ``text/event-stream`` a secret is also found when it is split over events, as those of models are: in the members
    ``delta``, ``text``, ``content``, ``partial_json`` and the like of JSON, and in data that is not JSON. An event
    waits while its text may end with half a secret: until the next text, an event that ends it, the second sign of life
    (a comment or ``ping``) without text, or the end; 1 MiB of events at most. Then a few first letters of a secret may
    be out before it is known as one; the rest is redacted.

    Not checked are compressed bodies (any Content-Encoding but ``identity``: put this middleware inside of the one that
    compresses), other types such as images and ``multipart/x-mixed-replace``, UTF-16, JSON that writes plain letters as
    ``\\uXXXX``, and a secret that is split over several messages of a websocket or lines of JSON: wrap the generator of
    its pieces in ``redact_stream``.

    It takes the time of the event loop: as a guide, a few tenths of a second at most for 1 MB of prose, and a few
    seconds for 1 MB full of keys. Wrap only the app of the agent if that is too much.
    """

    def __init__(self, app: Any, *, known: Iterable[object] | Known = (), on_leak: OnLeak | None = None) -> None:
        if not callable(app):
            raise TypeError("app is an ASGI app")
        self.app = app
        self._known = known if isinstance(known, Known) else Known(known)
        self._on_leak = on_leak

    def __repr__(self) -> str:
        return f"<AgentOutputMiddleware {self._known!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AgentOutputMiddleware cannot be pickled: it holds secrets")

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        if scope.get("type") == "http":
            if scope.get("extensions"):
                kept = {name: one for name, one in scope["extensions"].items() if name not in _PAST_THE_APP}
                scope = {**scope, "extensions": kept}
            asked = [one for one in scope.get("headers", ()) if bytes(one[0]).lower() not in _RANGE_HEADERS]
            if len(asked) < len(scope.get("headers", ())):
                scope = {**scope, "headers": asked}
            answer = _Answer(self._known, self._on_leak, send, scope.get("method"))
            await self.app(scope, receive, answer.send)
        elif scope.get("type") == "websocket":
            await self.app(scope, receive, self._websocket(send))
        else:
            await self.app(scope, receive, send)

    def _websocket(self, send: Send) -> Send:
        # An app may refuse the connection with an answer of its own.
        refusal = _Answer(self._known, self._on_leak, send, None, "websocket.http.response")

        async def checked(message: Any) -> None:
            if message["type"].startswith(refusal.prefix):
                await refusal.send(message)
                return
            checker = Checker(self._known)
            for part in ("text", "bytes"):
                if message.get(part):
                    message = {**message, part: checker.clean(message[part])}
            if message["type"] == "websocket.accept" and message.get("headers"):
                message = {**message, "headers": _checked(message["headers"], checker)}
            if message["type"] == "websocket.close" and message.get("reason"):
                message = {**message, "reason": _fitting(checker.clean(message["reason"]), message["reason"])}
            tell(self._on_leak, (one._asdict() for one in checker.hits))
            await send(message)

        return checked


class _Answer:
    """One answer on its way."""

    def __init__(
        self, known: Known, on_leak: OnLeak | None, send: Send, method: object, prefix: str = "http.response"
    ) -> None:
        self._known, self._on_leak, self._send, self.prefix = known, on_leak, send, prefix
        self._bodiless = self._head = method == "HEAD"
        self._start: Any = None
        self._pieces: Pieces | None = None
        self._events: Events | None = None

    async def send(self, message: Any) -> None:
        kind = message["type"]
        if kind == f"{self.prefix}.start":
            headers = _pairs(message.get("headers", ()))
            self._bodiless = self._head or message.get("status") in _BODILESS
            self._pieces = self._events = None
            if not self._bodiless and _is_text(headers):
                self._pieces = Pieces(self._known)
                if any(name.lower() == b"content-type" and _EVENTS.match(value) for name, value in headers):
                    self._events = Events(self._known)
            headers = [one for one in headers if one[0].lower() not in _RANGE_OFFERS]
            # Sent with the first piece of the body, when its length is known.
            self._start = {**message, "headers": _checked(headers, Checker(self._known))}
        elif kind == f"{self.prefix}.body" and self._pieces is not None:
            await self._body(message, self._pieces)
        elif kind == f"{self.prefix}.body" and self._bodiless:
            await self._begin(None)
            await self._send({**message, "body": b""})
        elif kind == f"{self.prefix}.trailers":
            await self._send({**message, "headers": _checked(message.get("headers", ()), Checker(self._known))})
        else:
            await self._begin(None)
            await self._send(message)

    async def _body(self, message: Any, pieces: Pieces) -> None:
        more = bool(message.get("more_body", False))
        body = _bytes(pieces.push(bytes(memoryview(message.get("body", b"")))))
        if not more:
            body += _bytes(pieces.finish())
        if self._events is not None:
            body = self._events.push(body)
            body += b"" if more else self._events.finish()
        if not more:
            found = pieces.found + ([] if self._events is None else self._events.found)
            tell(self._on_leak, ({"type": title, "redacted": "****"} for _, title in found))
        await self._begin(None if more else len(body))
        if body or not more:
            await self._send({**message, "body": body})

    async def _begin(self, length: int | None) -> None:
        """Sends the start. The length of a body that was checked is sent if it is known, else not."""
        start, self._start = self._start, None
        if start is None:
            return
        if self._pieces is not None:
            headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            if length is not None and len(headers) < len(start["headers"]):
                headers.append((b"content-length", str(length).encode()))
            start["headers"] = headers
        await self._send(start)


def _pairs(headers: Iterable[Any]) -> Headers:
    return [(bytes(name), bytes(value)) for name, value in headers]


def _checked(headers: Iterable[Any], checker: Checker) -> Headers:
    return [
        (name, value if name.lower() in _PRIVATE_HEADERS else checker.text(value, "header", "", False))
        for name, value in _pairs(headers)
    ]


def _fitting(reason: Any, given: Any) -> Any:
    """A reason that a marker made too long is cut."""
    if reason == given or not isinstance(reason, str):
        return reason
    return reason.encode("utf-8", "surrogatepass")[:_REASON_BYTES_MAX].decode("utf-8", "ignore")


def _is_text(headers: Headers) -> bool:
    kind = b""
    for name, value in headers:
        if name.lower() == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return False
        if name.lower() == b"content-type":
            kind = value
    return not kind or _TEXT.match(kind) is not None and not _WIDE.search(kind)


def _bytes(piece: str | bytes) -> bytes:
    return piece.encode() if isinstance(piece, str) else piece
