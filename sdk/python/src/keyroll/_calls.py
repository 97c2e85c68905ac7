"""Callbacks: in order on a daemon thread of their own, from a bounded queue. Their errors are logged by class alone."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from typing import Any, Callable

from ._quiet import quietly

log = logging.getLogger("keyroll")

CALLBACKS_WAITING_MAX = 256
STOP_SECONDS_MAX = 1.0
_WAIT_SECONDS_MAX = 3600.0

_ending = False  # the interpreter comes to its end: nothing is logged any more


class Callbacks:
    """A bounded queue of calls and the thread that makes them, in order."""

    def __init__(self) -> None:
        self._stopped = False
        self.dropped = 0
        self._open()

    def _open(self) -> None:
        self._wake = threading.Condition(threading.RLock())
        self._calls: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._thread: threading.Thread | None = None
        self._warned = False

    def after_fork(self) -> None:
        self._open()

    def stop(self) -> None:
        global _ending
        self._stopped = _ending = True
        if self._wake.acquire(timeout=STOP_SECONDS_MAX):
            self._calls.clear()
            self._wake.notify_all()
            self._wake.release()

    def add(self, fn: Callable[..., object], args: tuple[object, ...]) -> bool:
        with self._wake:
            if self._stopped:
                return False
            full = len(self._calls) >= CALLBACKS_WAITING_MAX
            warn = full and not self._warned
            if full:
                self.dropped += 1
                self._warned = True
            else:
                self._calls.append((fn, args))
                if not self._ensure_thread():
                    self._calls.pop()
                    return False
                self._wake.notify()
        if warn:
            log.warning("%d callbacks wait: one of them hangs; new ones are dropped", CALLBACKS_WAITING_MAX)
        return not full

    def _ensure_thread(self) -> bool:
        if self._thread is not None and self._thread.is_alive():
            return True
        thread = threading.Thread(target=self._loop, args=(self._wake,), name="keyroll-callbacks", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            log.warning("cannot start the thread for callbacks; this callback is dropped")
            return False
        self._thread = thread
        return True

    def _loop(self, wake: threading.Condition) -> None:
        while True:
            with wake:
                while not self._calls and not self._stopped:
                    wake.wait(_WAIT_SECONDS_MAX)
                if self._stopped:
                    return
                fn, args = self._calls.popleft()
                if not self._calls:
                    self._warned = False
            call(fn, *args)
            del fn, args


def call(fn: Callable[..., object], *args: object) -> None:
    """Calls ``fn(*args)`` on this thread. What it raises is logged by its class: its text may hold the value."""
    try:
        answer: Any = fn(*args)
        if inspect.isawaitable(answer):
            failed: list[BaseException] = []
            asyncio.run(quietly(lambda: answer, [], failed))
            if failed:
                raise failed[0]
    except BaseException as error:  # noqa: BLE001 - a callback never ends the thread
        if not _ending:
            name = getattr(fn, "__qualname__", None) or type(fn).__name__
            log.warning("the callback %s failed: %s", name, type(error).__name__)
