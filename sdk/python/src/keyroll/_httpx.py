"""The ``Auth`` of httpx and of httpx2, whose classes have the same shape."""

from __future__ import annotations

from typing import Any, AsyncGenerator, Generator

from ._attempt import Attempt, Attempts, checked
from ._origins import origin


def made(library: Any) -> tuple[Any, Any]:
    """``HeaderAuth`` and ``Bearer`` for a client of this library."""

    class HeaderAuth(library.Auth):  # type: ignore[misc]
        """``auth=`` of a client: this header has the value; a refused request is sent once more with the other one.

        A body that cannot be sent again (a generator, a file) is not. ``path`` is what ``key.used`` reports.
        """

        def __init__(self, name: str, key: Attempts, *, prefix: str = "", path: str = "main") -> None:
            self._name, self._key, self._prefix, self._path = name, checked(key), prefix, path

        def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            attempt: Attempt | None = self._key.attempt(self._path)
            while attempt is not None:
                request.headers[self._name] = attempt.header(self._prefix)
                response = yield request
                refused = attempt.answered(_status(request, response))
                following = attempt.refused() if refused else None
                attempt = following if isinstance(request.stream, library.ByteStream) else None

        async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
            attempt: Attempt | None = await self._key.aattempt(self._path)
            while attempt is not None:
                request.headers[self._name] = attempt.header(self._prefix)
                response = yield request
                refused = attempt.answered(_status(request, response))
                following = await attempt.arefused() if refused else None
                attempt = following if isinstance(request.stream, library.ByteStream) else None

    class Bearer(HeaderAuth):
        """The same as ``Authorization: Bearer …``."""

        def __init__(self, key: Attempts, *, path: str = "main") -> None:
            super().__init__("Authorization", key, prefix="Bearer ", path=path)

    return HeaderAuth, Bearer


def _status(request: Any, response: Any) -> int:
    """What the server that the key is for answered: after a redirect to another one, its own answer is the redirect."""
    if not response.history:
        return int(response.status_code)
    server = origin(str(request.url))
    its = [each for each in (*response.history, response) if origin(str(each.request.url)) == server]
    return int(its[-1].status_code if its else 0)
