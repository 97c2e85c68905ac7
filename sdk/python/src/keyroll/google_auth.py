"""For google-auth: ``AuthorizedSession(Credentials(key))``, or any client of Google that takes credentials."""

from __future__ import annotations

import threading
from typing import Any

from google.auth import credentials, exceptions

from ._attempt import Attempts, checked


class Credentials(credentials.Credentials):  # type: ignore[misc]
    """An access token that is kept as the secret. After a 401 Google's session asks for ``refresh``, and sends once more.

    It does so by its own rules: also a body that is read to its end already. It does not say which requests were
    accepted, so none is reported. ``path`` is what ``key.used`` reports.
    """

    def __init__(self, key: Attempts, *, path: str = "main") -> None:
        super().__init__()
        self._key, self._path = checked(key), path
        # A request is sent, refused and sent again on one thread.
        self._here = threading.local()

    def before_request(self, request: Any, method: str, url: str, headers: Any) -> None:
        following, self._here.following = getattr(self._here, "following", None), None
        if following is None or not following.may_be_used():
            following = self._key.attempt(self._path)
        self._here.attempt = following
        headers["authorization"] = following.header("Bearer ")

    def refresh(self, request: Any) -> None:
        attempt, self._here.attempt = getattr(self._here, "attempt", None), None
        following = None if attempt is None else attempt.refused()
        if following is None:
            raise exceptions.RefreshError("the secret has no other value that could be tried")
        self._here.following = following
