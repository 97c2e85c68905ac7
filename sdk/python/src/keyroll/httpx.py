"""For httpx: ``httpx.Client(auth=Bearer(key))`` or ``AsyncClient``; ``HeaderAuth("x-api-key", key)`` for another header."""

from __future__ import annotations

import httpx

from ._httpx import made

HeaderAuth, Bearer = made(httpx)
__all__ = ["Bearer", "HeaderAuth"]
