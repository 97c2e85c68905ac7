"""For the clients of azure: ``SearchClient(url, "i", AzureKeyCredential("-"), authentication_policy=KeyPolicy("api-key", key))``."""

from __future__ import annotations

from typing import Any

from azure.core.pipeline.policies import AsyncHTTPPolicy, HTTPPolicy

from ._attempt import Attempts, checked


class KeyPolicy(HTTPPolicy):  # type: ignore[misc]
    """This header has the value; a refused request is sent once more with the other one, if its body is bytes or text.

    ``prefix`` is ``"SharedAccessKey "`` for Event Grid and Maps, and so on. ``path`` is what ``key.used`` reports.
    """

    def __init__(self, header: str, key: Attempts, *, prefix: str = "", path: str = "main") -> None:
        super().__init__()
        self._header, self._key, self._prefix, self._path = header, checked(key), prefix, path

    def send(self, request: Any) -> Any:
        if _is_elsewhere(request, self._header):
            return self.next.send(request)
        attempt = self._key.attempt(self._path)
        while True:
            request.http_request.headers[self._header] = attempt.header(self._prefix)
            response = self.next.send(request)
            refused = attempt.answered(response.http_response.status_code)
            following = attempt.refused() if refused else None
            if following is None or not _can_repeat(request):
                return response
            attempt = following


class AsyncKeyPolicy(AsyncHTTPPolicy):  # type: ignore[misc]
    """The same for the clients in ``….aio``."""

    def __init__(self, header: str, key: Attempts, *, prefix: str = "", path: str = "main") -> None:
        super().__init__()
        self._header, self._key, self._prefix, self._path = header, checked(key), prefix, path

    async def send(self, request: Any) -> Any:
        if _is_elsewhere(request, self._header):
            return await self.next.send(request)
        attempt = await self._key.aattempt(self._path)
        while True:
            request.http_request.headers[self._header] = attempt.header(self._prefix)
            response = await self.next.send(request)
            refused = attempt.answered(response.http_response.status_code)
            following = await attempt.arefused() if refused else None
            if following is None or not _can_repeat(request):
                return response
            attempt = following


def _is_elsewhere(request: Any, header: str) -> bool:
    """Whether a redirect went to another host, as azure's RedirectPolicy says it; the key is not for that one."""
    if not request.context.get("insecure_domain_change"):
        return False
    request.http_request.headers.pop(header, None)
    return True


def _can_repeat(request: Any) -> bool:
    http = request.http_request
    if getattr(http, "files", None) or getattr(http, "_files", None):
        return False
    body = getattr(http, "content", None) or getattr(http, "data", None)
    return body is None or isinstance(body, (bytes, str))
