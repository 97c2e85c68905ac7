"""For anthropic: ``Anthropic(api_key="-", http_client=http_client(key))``, ``AsyncAnthropic(…=async_http_client(key))``."""

from __future__ import annotations

from typing import Any

import anthropic

from ._attempt import Attempts
from ._clients import made


def http_client(key: Attempts, *, path: str = "main", **options: Any) -> Any:
    """anthropic's own HTTP client, whose requests have the value; a refused one is sent once more with the other one."""
    return made(anthropic.DefaultHttpxClient, key, path, options)


def async_http_client(key: Attempts, *, path: str = "main", **options: Any) -> Any:
    """The same for ``AsyncAnthropic``."""
    return made(anthropic.DefaultAsyncHttpxClient, key, path, options)
