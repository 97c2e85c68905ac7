"""HTTP by urllib with a deadline for the whole answer, however slowly its bytes come."""

from __future__ import annotations

import http.client
import io
import socket
import time
import urllib.request
from typing import Any


class _Pieces(io.RawIOBase):
    """The bytes of a socket until the deadline. The time limit of the socket alone begins again with each byte."""

    def __init__(self, sock: socket.socket, raw: Any, end: float) -> None:
        self._sock, self._raw, self._end = sock, raw, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            try:
                self._raw.close()
            finally:
                super().close()


def _answers_until(end: float) -> type[http.client.HTTPResponse]:
    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **settings: Any) -> None:
            super().__init__(sock, *args, **settings)
            self.fp = io.BufferedReader(_Pieces(sock, self.fp.detach(), end))

    return Response


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, *, timeout: float = 10.0, **settings: Any) -> None:
        super().__init__(host, timeout=timeout, **settings)
        # It is made when the request begins. It reads the answer of a proxy too.
        self.response_class = _answers_until(time.monotonic() + timeout)


class _TlsConnection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, timeout: float = 10.0, **settings: Any) -> None:
        super().__init__(host, timeout=timeout, **settings)
        self.response_class = _answers_until(time.monotonic() + timeout)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the secret of the request to another place."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        # The certificates to trust, if they were given to the handler.
        return self.do_open(_TlsConnection, req, context=getattr(self, "_context", None))
