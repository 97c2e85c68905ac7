"""For SQLAlchemy: ``follow(create_engine("postgresql+psycopg://db/shop"), key)``, also for an ``AsyncEngine``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.util import await_only

from ._follow import Follower
from ._login import login
from ._secret import RotatableSecret


def follow(engine: Any, key: RotatableSecret, *, path: str = "main") -> Any:
    """The engine, whose connections log in with the value, else with the other one.

    After a rotation those that are idle are closed at once, and those in use when they are given back.
    """
    plain = getattr(engine, "sync_engine", engine)
    disposed = [0]

    def log_in(dialect: Any, words: Any, options: Any, value: str) -> Any:
        # mysqlclient's name for it would win.
        rest = {name: each for name, each in options.items() if name != "passwd"}
        return dialect.connect(*words, **{**rest, **login(value)})

    def log_in_async(dialect: Any, words: Any, options: Any) -> Any:
        follower.entered()
        attempt = await_only(key.aattempt(path))
        while True:
            try:
                made = log_in(dialect, words, options, attempt.value)
            except Exception as error:
                following = await_only(attempt.arefused()) if key._refuses(error) else None
                if following is None:
                    raise
                attempt = following
            else:
                attempt.accepted()
                return made

    @event.listens_for(plain, "do_connect")  # type: ignore[misc]
    def connect(dialect: Any, record: Any, words: Any, options: Any) -> Any:
        # Before the login: a session that is newer than this says is only closed too early.
        record.info["keyroll"] = (follower.drains, disposed[0])
        if dialect.is_async:
            return log_in_async(dialect, words, options)
        return key.with_fallback(lambda value: log_in(dialect, words, options, value), path=path)

    @event.listens_for(plain, "checkin")  # type: ignore[misc]
    def given_back(connection: Any, record: Any) -> None:
        # To a pool that was disposed of, which would keep it open.
        if connection is not None and record.info.get("keyroll") != (follower.drains, disposed[0]):
            record.invalidate()

    def drain(engine: Any) -> None:
        try:
            engine.dispose(close=not follower.is_forked)
        finally:
            # What logged in while it was disposed of is given back to the pool before.
            disposed[0] += 1

    async def adrain(engine: Any) -> None:
        try:
            await engine.dispose(close=not follower.is_forked)
        finally:
            disposed[0] += 1

    follower = Follower(key, engine, drain if plain is engine else adrain)
    return engine
