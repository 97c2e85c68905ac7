"""For requests: ``session.auth = Bearer(key)``; ``HeaderAuth("x-api-key", key)`` for another header."""

from __future__ import annotations

from functools import partial
from typing import Any

import requests

from ._attempt import Attempt, Attempts, checked
from ._origins import origin


class HeaderAuth(requests.auth.AuthBase):  # type: ignore[misc]
    """This header has the value; a refused request is sent once more with the other one.

    A body that cannot be sent again (a generator, a file) is not. ``path`` is what ``key.used`` reports.
    """

    def __init__(self, name: str, key: Attempts, *, prefix: str = "", path: str = "main") -> None:
        self._name, self._key, self._prefix, self._path = name, checked(key), prefix, path

    def __call__(self, request: Any) -> Any:
        self._dress(request, self._key.attempt(self._path), origin(request.url))
        return request

    def _dress(self, request: Any, attempt: Attempt, server: str) -> None:
        request.headers[self._name] = attempt.header(self._prefix)
        hooks = [each for each in request.hooks["response"] if getattr(each, "func", None) != self._answered]
        request.hooks["response"] = [*hooks, partial(self._answered, attempt, server)]

    def _answered(self, attempt: Attempt, server: str, response: Any, **options: Any) -> Any:
        request = response.request
        if origin(request.url) != server:
            return response
        if response.is_redirect:
            to = requests.compat.urljoin(response.url, response.headers["location"])
            if origin(to) != server:
                # requests takes off no header but Authorization.
                del request.headers[self._name]
        following = attempt.refused() if attempt.answered(response.status_code) else None
        if following is None or not isinstance(request.body, (bytes, str, type(None))):
            return response
        response.content  # noqa: B018 - read to its end, so that the connection can be used again
        response.close()
        again = request.copy()
        for each in (request, again):  # a redirect goes on with a copy of the first one
            self._dress(each, following, server)
        repeated = response.connection.send(again, **options)
        repeated.history.append(response)
        return self._answered(following, server, repeated, **options)


class Bearer(HeaderAuth):
    """The same as ``Authorization: Bearer …``."""

    def __init__(self, key: Attempts, *, path: str = "main") -> None:
        super().__init__("Authorization", key, prefix="Bearer ", path=path)
