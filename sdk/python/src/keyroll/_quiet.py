"""A task that shows neither its result nor its error: asyncio's debug mode logs those of every task."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable, TypeVar

T = TypeVar("T")

# How asyncio ends a task, and how a person ends the program.
_PASSING = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)


async def quietly(work: Callable[[], Awaitable[T]], found: list[T], failed: list[BaseException]) -> None:
    """Puts the result of ``work()`` into ``found`` or its error into ``failed``, for the caller of the task."""
    try:
        found.append(await work())
    except _PASSING:
        raise
    except BaseException as error:  # noqa: BLE001 - also sys.exit(), which would end the loop
        failed.append(error)
