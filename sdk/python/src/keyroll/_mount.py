"""The requests of the small server inside another program: ASGI (Starlette, FastAPI) or aiohttp."""

from __future__ import annotations

import asyncio
import importlib
import re
from typing import Any, Awaitable, Callable, MutableMapping, Sequence

from ._http import (
    REQUEST_SECONDS, Answer, Away, BodyReader, Handler, Headers, Refused, every, problem, too_large, within,
)


def _page(path: str) -> str:
    # Frameworks differ in whether the path of a mounted program has the prefix of its mount; the pages have one part.
    return "/" + path.rsplit("/", 1)[-1]


ASGI = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[MutableMapping[str, Any]], Awaitable[None]]],
    Awaitable[None],
]


def asgi_app(handle: Handler) -> ASGI:
    """`handle` as an ASGI 3 program; an unfinished body ends after ten seconds."""

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]

        async def read(limit: int) -> bytes:
            body = bytearray()
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Away
                body += message.get("body", b"")
                if len(body) > limit:
                    raise Refused(too_large(limit))
                if not message.get("more_body", False):
                    return bytes(body)

        answer = await _mounted(handle, scope["method"], scope["path"], headers, read)
        if answer is not None:
            encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
            encoded.append((b"content-length", str(len(answer.body)).encode("ascii")))
            await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    return app


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _mounted(handle: Handler, method: str, path: str, headers: Headers, read: BodyReader) -> Answer | None:
    async def timed(limit: int) -> bytes:
        lengths = every(headers, "content-length")
        if any(re.fullmatch("[0-9]{1,18}", length) and int(length) > limit for length in lengths):
            raise Refused(too_large(limit))
        return await within(REQUEST_SECONDS, lambda: read(limit))

    try:
        return await handle(method, _page(path), headers, timed)
    except Refused as refused:
        return refused.answer
    except asyncio.TimeoutError:
        return problem(408, f"the request was not whole within {REQUEST_SECONDS:.0f} s")
    except Away:
        return None


def aiohttp_routes(handle: Handler, paths: Sequence[str]) -> list[Any]:
    """`handle` for `app.add_routes`. Raises `ImportError` if aiohttp is not there."""
    try:
        web: Any = importlib.import_module("aiohttp.web")
    except ImportError:
        raise ImportError("aiohttp_routes() needs aiohttp: pip install aiohttp") from None

    async def serve(request: Any) -> Any:
        async def read(limit: int) -> bytes:
            body = bytearray()
            while not request.content.at_eof():
                body += await request.content.readany()
                if len(body) > limit:
                    raise Refused(too_large(limit))
            return bytes(body)

        headers = [(name.lower(), value) for name, value in request.headers.items()]
        answer = await _mounted(handle, request.method, request.path, headers, read)
        if answer is None:
            raise ConnectionResetError("the client went away")
        return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))

    # Every method: a wrong one is answered by the same rules, after the token.
    return [web.route("*", path, serve) for path in paths]
