"""The servers that a key may be sent to."""

from __future__ import annotations

import logging
from typing import Iterable
from urllib.parse import urlsplit

log = logging.getLogger("keyroll")


class Origins:
    """Origins that were named, such as ``https://api.example.org``; without any, the first one that is asked for."""

    def __init__(self, named: Iterable[str]) -> None:
        self._all = {origin(each) for each in named}
        self._warned = False

    def has(self, url: str) -> bool:
        """Whether the key may be sent there. One warning for the first where it may not."""
        asked = origin(url)
        if not self._all:
            self._all.add(asked)
        if asked in self._all:
            return True
        if not self._warned:
            self._warned = True
            log.warning("the key is not sent to %s: it is for %s alone; name each", asked, ", ".join(sorted(self._all)))
        return False


def origin(url: str) -> str:
    """Scheme, host and port of a URL, as ``https://api.example.org:443``. ValueError if it has none."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    if parts.hostname is None or port is None:
        raise ValueError("an origin is like https://api.example.org")
    return f"{parts.scheme}://{parts.hostname}:{port}"
