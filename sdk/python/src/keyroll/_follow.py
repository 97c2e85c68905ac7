"""What holds open sessions of a secret lets them go when its value changes."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Any, Callable

from . import _worker

if TYPE_CHECKING:
    from ._secret import RotatableSecret

log = logging.getLogger("keyroll")


class Follower:
    """A callback that drains a pool, as long as somebody holds it.

    ``drains`` counts: a login that began before the last one may have used the value before. ``entered()`` names the
    event loop of a pool that has one: its ``drain`` gives a coroutine.
    """

    def __init__(self, key: RotatableSecret, pool: Any, drain: Callable[[Any], Any]) -> None:
        self.drains = 0
        self._name = key.name
        self._pool = weakref.ref(pool)
        self._drain = drain
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._generation = _worker.generation()
        key.add_callback(self)

    def entered(self) -> None:
        """This event loop is the pool's."""
        self._loop = asyncio.get_running_loop()

    def is_gone(self) -> bool:
        """Whether nobody holds the pool any more."""
        return self._pool() is None

    @property
    def is_forked(self) -> bool:
        """Whether the pool's open sessions are those of the process before the fork: closing them would end them there."""
        return self._generation != _worker.generation()

    def __call__(self, _new: str) -> None:
        self.drains += 1
        pool, loop = self._pool(), self._loop
        if pool is None:
            return
        if loop is None:
            answer = self._drain(pool)
            if asyncio.iscoroutine(answer):
                answer.close()  # no session was opened yet
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._drained(self.drains))

    async def _drained(self, drains: int) -> None:
        while (pool := self._pool()) is not None:
            try:
                await self._drain(pool)
            except Exception as error:  # noqa: BLE001 - nobody awaits it
                log.warning("a pool of %s was not drained: %s", self._name, type(error).__name__)
            del pool
            if drains == self.drains:
                return
            drains = self.drains
