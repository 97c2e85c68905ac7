"""For redis-py: ``client(key, "app", host="cache")`` and ``async_client``. Needs redis 7."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import redis
import redis.asyncio

from ._attempt import Attempt
from ._follow import Follower
from ._login import login
from ._secret import RotatableSecret


def client(key: RotatableSecret, user: str | None = None, *, path: str = "main", **options: Any) -> Any:
    """A ``Redis`` whose connections log in with the value, else with the other one.

    After a rotation those that are idle are closed at once, and those in use when they are given back.
    """
    opened = _Opened(options)

    def connect(connection: Any) -> None:
        attempt, drains = opened.second.pop(connection, None) or key.attempt(path), follower.drains
        try:
            connection.credential_provider = _credentials(user, attempt.value)
            connection.on_connect()
        except Exception as error:
            following = attempt.refused() if key._refuses(error) else None
            if following is None:
                raise
            # On a connection of its own: this one is not used any more after an error.
            connection.disconnect()
            opened.second[connection] = following
            try:
                connection.connect_check_health(retry_socket_connect=False)
            finally:
                opened.second.pop(connection, None)
            return
        attempt.accepted()
        opened.add(connection, drains == follower.drains)

    made = redis.Redis(redis_connect_func=connect, **options)
    follower = Follower(key, made, lambda made: None if follower.is_forked else opened.drained(made))
    return made


def async_client(key: RotatableSecret, user: str | None = None, *, path: str = "main", **options: Any) -> Any:
    """The same as a ``redis.asyncio.Redis``."""
    opened = _Opened(options)

    async def connect(connection: Any) -> None:
        follower.entered()
        attempt, drains = opened.second.pop(connection, None) or await key.aattempt(path), follower.drains
        try:
            connection.credential_provider = _credentials(user, attempt.value)
            await connection.on_connect()
        except Exception as error:
            following = await attempt.arefused() if key._refuses(error) else None
            if following is None:
                raise
            await connection.disconnect()
            opened.second[connection] = following
            try:
                await connection.connect_check_health(retry_socket_connect=False)
            finally:
                opened.second.pop(connection, None)
            return
        attempt.accepted()
        opened.add(connection, drains == follower.drains)

    async def drain(made: Any) -> None:
        if not follower.is_forked:
            await opened.drained(made)

    made = redis.asyncio.Redis(redis_connect_func=connect, **options)
    follower = Follower(key, made, drain)
    return made


class _Opened:
    """The connections that have logged in, and the second attempts of those whose first one was refused."""

    def __init__(self, options: Any) -> None:
        if options.get("connection_pool") is not None:
            raise TypeError("a connection_pool makes its own connections, which would not use the key")
        self.second: WeakKeyDictionary[Any, Attempt] = WeakKeyDictionary()
        self._all: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()

    def add(self, connection: Any, is_current: bool) -> None:
        with self._lock:
            self._all.add(connection)
        if not is_current:
            connection.mark_for_reconnect()

    def drained(self, client: Any) -> Any:
        with self._lock:
            found = list(self._all)
        for connection in found:
            # A subscription would lose what is published meanwhile; it is known by what it does after a connect.
            if not getattr(connection, "_connect_callbacks", ()):
                connection.mark_for_reconnect()
        return client.connection_pool.disconnect(inuse_connections=False)


def _credentials(user: str | None, value: str) -> Any:
    found = login(value)
    return redis.UsernamePasswordCredentialProvider(found.get("user", user), found["password"])
