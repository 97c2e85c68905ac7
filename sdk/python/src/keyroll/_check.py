"""Asks the caller's own function whether a new value may be used, before it is."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from concurrent.futures import Future
from typing import Any, Awaitable, Callable, Union

from ._http import Refused, problem, settled
from ._quiet import quietly

ACCEPT_SECONDS = 20.0
# A check that hangs cannot be stopped. With this many of them, no further one begins.
CHECKS_MAX = 8

Accept = Callable[[str, str], Union[bool, Awaitable[bool]]]
log = logging.getLogger("keyroll")


class Check:
    """``accept(name, value)``, with limits. What it raises is shown by its class alone: the text may hold the value."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._running: set[Future[Any]] = set()

    async def __call__(self, name: str, value: str) -> None:
        """Raises Refused unless the answer is True within 20 s."""
        said: list[object] = []
        failed: list[BaseException] = []
        # Quietly: also a result or an error that came too late would be logged, and sys.exit() must not end the loop.
        task = asyncio.ensure_future(quietly(lambda: self._verdict(name, value), said, failed))
        try:
            done, _ = await asyncio.wait({task}, timeout=ACCEPT_SECONDS)
        finally:
            task.cancel()
        if not done:
            raise Refused(problem(422, "the check of new_value took too long; nothing was changed"))
        if failed and isinstance(failed[0], Refused):
            raise failed.pop()
        if not said:
            kind = type(failed[0] if failed else asyncio.CancelledError()).__name__
            log.warning("the check of a new value of %s failed: %s", name, kind)
            raise Refused(problem(422, "the check of new_value failed; nothing was changed"))
        # Only True: a check that forgets to return something, or returns (False, why), must not let a value in.
        if said[0] is not True:
            raise Refused(problem(422, "the check did not accept new_value; nothing was changed"))

    async def _verdict(self, name: str, value: str) -> object:
        accept: Any = self._accept
        if inspect.iscoroutinefunction(accept) or inspect.iscoroutinefunction(getattr(accept, "__call__", None)):
            verdict = accept(name, value)
        else:
            future = self._in_thread(name, value)
            await settled(future, ACCEPT_SECONDS + 1)
            verdict = future.result(timeout=0)
        return await verdict if inspect.isawaitable(verdict) else verdict

    def _in_thread(self, name: str, value: str) -> Future[Any]:
        # Not the loop's own pool: a check that hangs there would keep the interpreter from ending.
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(self._accept(name, value))
            except Exception as error:  # noqa: BLE001 - it is the answer
                future.set_exception(error)
            except BaseException:  # noqa: BLE001 - sys.exit() in a check must not end the loop that waits
                future.set_exception(RuntimeError())
            self._running.discard(future)

        busy = problem(503, "too many checks hang; nothing was changed", ("retry-after", "20"))
        if len(self._running) >= CHECKS_MAX:
            raise Refused(busy)
        self._running.add(future)
        try:
            threading.Thread(target=run, name="keyroll-accept", daemon=True).start()
        except RuntimeError:
            self._running.discard(future)
            raise Refused(busy) from None
        return future
