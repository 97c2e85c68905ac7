"""For asyncpg: ``await create_pool(key, host="db", database="shop")``. Needs asyncpg 0.30."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from ._follow import Follower
from ._login import login
from ._secret import RotatableSecret


def create_pool(key: RotatableSecret, dsn: str | None = None, *, path: str = "main", **options: Any) -> Any:
    """A pool whose connections log in with the value, else with the other one.

    After a rotation those that are idle are replaced at once, and those in use when they are given back.
    """

    async def connect(*words: Any, **options: Any) -> Any:
        follower.entered()
        while True:
            drains = follower.drains
            made = await key.awith_fallback(
                lambda value: asyncpg.connect(*words, **{**options, **login(value)}), path=path
            )
            if drains == follower.drains:
                return made
            await made.close()

    async def drain(connect: Any) -> None:
        if not follower.is_forked:
            await _drained(connect.pool)

    made = asyncpg.create_pool(dsn, connect=connect, **options)
    # A pool cannot be referred to weakly, but it holds this function.
    connect.pool = made  # type: ignore[attr-defined]
    follower = Follower(key, connect, drain)
    return made


async def _drained(pool: Any) -> None:
    if pool.is_closing():
        return
    await pool.expire_connections()

    async def replaced() -> None:
        # An expired connection is closed only when somebody takes it, or gives it back.
        try:
            connection = await pool.acquire(timeout=5)
        except Exception:  # noqa: BLE001 - others have it, or the server is away
            return
        await pool.release(connection)

    await asyncio.gather(*(replaced() for _ in range(pool.get_idle_size())))
