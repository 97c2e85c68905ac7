"""For httpx2: ``httpx2.Client(auth=Bearer(key))`` or ``AsyncClient``; ``HeaderAuth("x-api-key", key)`` for another header."""

from __future__ import annotations

import httpx2

from ._httpx import made

HeaderAuth, Bearer = made(httpx2)
__all__ = ["Bearer", "HeaderAuth"]
