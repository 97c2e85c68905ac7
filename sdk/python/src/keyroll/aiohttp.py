"""For aiohttp: ``ClientSession(middlewares=(bearer(key),))``; ``header("x-api-key", key)`` for another header."""

from __future__ import annotations

from typing import Any, Awaitable, Callable

from aiohttp import ClientRequest, ClientResponse

from ._attempt import Attempts, checked
from ._origins import Origins

Handler = Callable[[ClientRequest], Awaitable[ClientResponse]]


def header(name: str, key: Attempts, *origins: str, prefix: str = "", path: str = "main") -> Any:
    """This header has the value; a refused request is sent once more with the other one, if its body can be.

    aiohttp asks a middleware for the hosts of redirects too. The value goes to these ``origins`` alone
    (``"https://api.example.org"``); without any, to that of the first request.
    """
    known, key = Origins(origins), checked(key)

    async def middleware(request: ClientRequest, handler: Handler) -> ClientResponse:
        if not known.has(str(request.url.origin())):
            return await handler(request)
        attempt = await key.aattempt(path)
        while True:
            request.headers[name] = attempt.header(prefix)
            try:
                response = await handler(request)
            finally:
                # aiohttp shows the headers of the request in its errors.
                request.headers[name] = f"{prefix}***"
            following = await attempt.arefused() if attempt.answered(response.status) else None
            if following is None or getattr(request.body, "consumed", False):
                return response
            response.release()
            attempt = following

    return middleware


def bearer(key: Attempts, *origins: str, path: str = "main") -> Any:
    """The same as ``Authorization: Bearer …``."""
    return header("Authorization", key, *origins, prefix="Bearer ", path=path)
