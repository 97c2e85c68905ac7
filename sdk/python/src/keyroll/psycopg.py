"""For psycopg-pool: ``pool(key, "host=db dbname=shop")`` and ``async_pool``. Needs psycopg-pool 3.3."""

from __future__ import annotations

from typing import Any

import psycopg
import psycopg_pool

from ._follow import Follower
from ._login import login
from ._secret import RotatableSecret


def pool(key: RotatableSecret, conninfo: Any = "", *, path: str = "main", **options: Any) -> Any:
    """A ``ConnectionPool`` whose connections log in with the value, else with the other one.

    After a rotation those that are idle are replaced at once, and those in use when they are given back.
    """
    plain = options.pop("connection_class", psycopg.Connection)
    opens = options.pop("open", True)

    class Connection(plain):  # type: ignore[misc, valid-type]
        @classmethod
        def connect(cls, conninfo: str = "", **options: Any) -> Any:
            log_in = super().connect
            while True:
                drains = follower.drains
                made = key.with_fallback(lambda value: log_in(conninfo, **{**options, **login(value)}), path=path)
                if drains == follower.drains:
                    return made
                made.close()  # the value changed meanwhile

    made = psycopg_pool.ConnectionPool(conninfo, connection_class=Connection, open=False, **options)
    follower = Follower(key, made, lambda pool: None if pool.closed or follower.is_forked else pool.drain())
    if opens:
        made.open()
    return made


def async_pool(key: RotatableSecret, conninfo: Any = "", *, path: str = "main", **options: Any) -> Any:
    """The same as an ``AsyncConnectionPool``, which is not open yet: ``async with async_pool(…) as pool``."""
    plain = options.pop("connection_class", psycopg.AsyncConnection)

    class Connection(plain):  # type: ignore[misc, valid-type]
        @classmethod
        async def connect(cls, conninfo: str = "", **options: Any) -> Any:
            log_in = super().connect
            follower.entered()
            while True:
                drains = follower.drains
                made = await key.awith_fallback(
                    lambda value: log_in(conninfo, **{**options, **login(value)}), path=path
                )
                if drains == follower.drains:
                    return made
                await made.close()

    async def drain(pool: Any) -> None:
        if not (pool.closed or follower.is_forked):
            await pool.drain()

    options["open"] = False
    made = psycopg_pool.AsyncConnectionPool(conninfo, connection_class=Connection, **options)
    follower = Follower(key, made, drain)
    return made
