"""Tells a callback of new values, also when the queue for callbacks is full at first."""

from __future__ import annotations

import weakref
from typing import Callable, Optional, Tuple

from . import _worker

AGAIN_SECONDS = 1.0

News = Tuple[int, Tuple[object, ...]]
"""A number that grows with each value, and the arguments of the callback."""


class Teller:
    """Calls ``fn`` on the thread for callbacks.

    ``newest(key)``, a method, gives the newest value that there is of one thing. If a callback that hangs has filled
    the queue, the values in between are not told, and the newest one is told when there is room again.
    """

    def __init__(self, fn: Callable[..., object], newest: Callable[[str], Optional[News]]) -> None:
        self._fn = fn
        # Weakly: it belongs to the one whose method it is.
        self._newest = weakref.WeakMethod(newest)
        self._untold: set[str] = set()
        self._told: dict[str, int] = {}
        self._handle: _worker.Handle | None = None

    def tell(self, key: str = "") -> None:
        """Queues a call for the newest value; never waits."""
        if self._queue(key):
            return
        self._untold.add(key)
        handle = self._handle
        if handle is None:
            again = _worker.weakly(self._again)
            self._handle = _worker.schedule(AGAIN_SECONDS, again, may_hang=False, name="a callback")
        else:
            handle.now()

    def _queue(self, key: str) -> bool:
        newest = self._newest()
        news = None if newest is None else newest(key)
        if news is None:
            return True  # There is nothing to tell any more.
        number, args = news

        # A function, and not the arguments in the queue: nothing shows what it holds.
        def call() -> object:
            # Only one thread makes these calls. What is older than what was told was queued by a slower thread.
            if number <= self._told.get(key, 0):
                return None
            self._told[key] = number
            return self._fn(*args)

        call.__qualname__ = getattr(self._fn, "__qualname__", None) or type(self._fn).__name__
        return _worker.callback(call)

    def _again(self) -> float | None:
        for key in list(self._untold):
            # Before the value is read: one that comes meanwhile is marked again.
            self._untold.discard(key)
            if not self._queue(key):
                self._untold.add(key)
        return AGAIN_SECONDS if self._untold else None
