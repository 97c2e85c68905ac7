"""The HTTP clients of openai and of anthropic, which have the same names and are built on httpx or httpx2."""

from __future__ import annotations

from typing import Any

from ._attempt import Attempts


def made(base: Any, key: Attempts, path: str, options: Any) -> Any:
    """The library's own client of this class, with its time limits, and an ``Auth`` of the key."""
    library = next(name for each in base.__mro__ if (name := each.__module__.partition(".")[0]) in ("httpx", "httpx2"))
    if library == "httpx2":
        from .httpx2 import Bearer
    else:
        from .httpx import Bearer
    return base(auth=Bearer(key, path=path), **options)
