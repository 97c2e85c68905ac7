"""A queue for callbacks that a hanging callback has filled."""

from __future__ import annotations

import contextlib
import threading
from typing import Iterator

from keyroll import _worker
from tests.support import until


@contextlib.contextmanager
def full_of_callbacks(go: threading.Event) -> Iterator[None]:
    """Within this, no callback is queued; behind it the queue is emptied. Ends when ``go`` is set, which it does."""
    hangs = threading.Event()

    def hang() -> None:
        hangs.set()
        go.wait(60)

    until(lambda: _worker.callback(hang))
    until(hangs.is_set)
    while _worker.callback(_nothing):
        pass
    try:
        yield
    finally:
        go.set()


def _nothing() -> None:
    pass
