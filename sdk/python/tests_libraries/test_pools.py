"""Pools of database connections: the same scenes on a real PostgreSQL and a real Redis."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import threading
import time
import unittest
from contextlib import contextmanager
from typing import Any, Callable, Iterator
from unittest import mock

import redis
import sqlalchemy
import sqlalchemy.ext.asyncio

import keyroll._refresh
import keyroll._secret
import keyroll.asyncpg
import keyroll.psycopg
import keyroll.redis
import keyroll.sqlalchemy
from keyroll import RotatableSecret

from .servers import Postgres, Redis, wait
from .support import Source, secret

SIZE = 3
USER = "app"


class Loop:
    """An event loop on a thread, for the pools that need one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, waited: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(waited, self.loop).result(30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Pool:
    """A pool under test. ``hold()`` has a connection in use while its block runs; ``ask()`` makes one call."""

    def __init__(self, key: RotatableSecret, port: int) -> None:
        self.key, self.port = key, port
        self.open()

    def fill(self) -> None:
        """As many open sessions as the pool may have."""
        with self.hold(), self.hold(), self.hold():
            pass

    def open(self) -> None:
        raise NotImplementedError

    def hold(self) -> Any:
        raise NotImplementedError

    def ask(self) -> None:
        with self.hold() as ask:
            ask()

    def close(self) -> None:
        raise NotImplementedError


class Psycopg(Pool):
    def open(self) -> None:
        place = f"host=127.0.0.1 port={self.port} dbname=postgres user={USER}"
        self.pool = keyroll.psycopg.pool(self.key, place, min_size=0, max_size=SIZE, timeout=5, reconnect_timeout=2)

    @contextmanager
    def hold(self) -> Iterator[Callable[[], Any]]:
        with self.pool.connection() as one:
            yield lambda: one.execute("SELECT 1")

    def close(self) -> None:
        self.pool.close()


class AsyncPool(Pool):
    """A pool of an event loop."""

    def __init__(self, key: RotatableSecret, port: int) -> None:
        self.loop = Loop()
        super().__init__(key, port)

    def open(self) -> None:
        self.pool = self.loop.run(self.made())

    async def made(self) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        self.loop.run(self.closed())
        self.loop.close()

    async def closed(self) -> None:
        await self.pool.close()


class PsycopgAsync(AsyncPool):
    async def made(self) -> Any:
        place = f"host=127.0.0.1 port={self.port} dbname=postgres user={USER}"
        pool = keyroll.psycopg.async_pool(
            self.key, place, min_size=0, max_size=SIZE, timeout=5, reconnect_timeout=2
        )
        await pool.open()
        return pool

    @contextmanager
    def hold(self) -> Iterator[Callable[[], Any]]:
        one = self.loop.run(self.pool.getconn())
        try:
            yield lambda: self.loop.run(one.execute("SELECT 1"))
        finally:
            self.loop.run(self.pool.putconn(one))


class Asyncpg(AsyncPool):
    async def made(self) -> Any:
        return await keyroll.asyncpg.create_pool(
            self.key, host="127.0.0.1", port=self.port, user=USER, database="postgres", min_size=0, max_size=SIZE
        )

    @contextmanager
    def hold(self) -> Iterator[Callable[[], Any]]:
        one = self.loop.run(self.acquired())
        try:
            yield lambda: self.loop.run(one.execute("SELECT 1"))
        finally:
            self.loop.run(self.pool.release(one))

    async def acquired(self) -> Any:
        return await self.pool.acquire()


class Sqlalchemy(Pool):
    def open(self) -> None:
        url = f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/postgres"
        self.pool = keyroll.sqlalchemy.follow(sqlalchemy.create_engine(url, pool_size=SIZE), self.key)

    @contextmanager
    def hold(self) -> Iterator[Callable[[], Any]]:
        with self.pool.connect() as one:
            yield lambda: one.execute(sqlalchemy.text("SELECT 1"))

    def close(self) -> None:
        self.pool.dispose()


class SqlalchemyAsync(AsyncPool):
    async def made(self) -> Any:
        url = f"postgresql+asyncpg://{USER}@127.0.0.1:{self.port}/postgres"
        return keyroll.sqlalchemy.follow(sqlalchemy.ext.asyncio.create_async_engine(url, pool_size=SIZE), self.key)

    @contextmanager
    def hold(self) -> Iterator[Callable[[], Any]]:
        one = self.loop.run(self.connected())
        try:
            yield lambda: self.loop.run(one.execute(sqlalchemy.text("SELECT 1")))
        finally:
            self.loop.run(one.close())

    async def connected(self) -> Any:
        return await self.pool.connect()

    async def closed(self) -> None:
        await self.pool.dispose()


class RedisPool(Pool):
    def open(self) -> None:
        self.pool = keyroll.redis.client(self.key, USER, port=self.port, max_connections=SIZE)

    @contextmanager
    def hold(self) -> Iterator[Callable[[], Any]]:
        # What uses a connection for longer: a transaction that watches.
        with self.pool.pipeline() as one:
            one.watch("x")
            yield lambda: one.get("x")

    def close(self) -> None:
        self.pool.close()


class RedisAsync(AsyncPool):
    async def made(self) -> Any:
        return keyroll.redis.async_client(self.key, USER, port=self.port, max_connections=SIZE)

    @contextmanager
    def hold(self) -> Iterator[Callable[[], Any]]:
        one = self.pool.pipeline()
        self.loop.run(one.watch("x"))
        try:
            yield lambda: self.loop.run(one.get("x"))
        finally:
            self.loop.run(one.reset())

    async def closed(self) -> None:
        await self.pool.aclose()


POOLS: list[tuple[type, type]] = [
    (Postgres, Psycopg), (Postgres, PsycopgAsync), (Postgres, Asyncpg), (Postgres, Sqlalchemy),
    (Postgres, SqlalchemyAsync), (Redis, RedisPool), (Redis, RedisAsync),
]


class Scenes(unittest.TestCase):
    servers: dict[type, Any]

    @classmethod
    def setUpClass(cls) -> None:
        cls.servers = {}
        for kind in (Postgres, Redis):
            cls.servers[kind] = kind()
            cls.addClassCleanup(cls.servers[kind].close)
        for role in (USER, "app_b"):
            cls.servers[Postgres].ask(f"CREATE ROLE {role} LOGIN")
        for name in ("keyroll", "psycopg.pool", "sqlalchemy.pool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
            cls.addClassCleanup(logging.getLogger(name).setLevel, logging.NOTSET)

    def each(self, scene: Callable[[Any, Source, RotatableSecret, Any], None]) -> None:
        for server, pool in POOLS:
            with self.subTest(pool.__name__):
                source = Source()
                self.servers[server].set_password(USER, source.value)
                with secret(source) as key:
                    made = pool(key, self.servers[server].port)
                    try:
                        scene(self.servers[server], source, key, made)
                    finally:
                        made.close()
                        wait("the end of its sessions", lambda: not self.servers[server].sessions(USER), 10)

    def rotate(self, server: Any, source: Source, key: RotatableSecret) -> None:
        server.set_password(USER, source.turn())
        self.assertTrue(key.refresh())

    def test_the_sessions_of_the_old_value_end_and_nothing_fails(self) -> None:
        def scene(server: Any, source: Source, key: RotatableSecret, pool: Any) -> None:
            pool.fill()
            old = server.sessions(USER)
            self.assertEqual(len(old), SIZE)
            self.rotate(server, source, key)
            wait("the end of the old sessions", lambda: not old & server.sessions(USER))
            for _ in range(2):
                pool.fill()
                pool.ask()
            self.assertEqual(len(server.sessions(USER)), SIZE, "no more sessions than before")
            self.assertGreater(key.stats["v2"]["ok"], 0)
            self.assertEqual([each["refused"] for each in key.stats.values()], [0, 0])

        self.each(scene)

    def test_a_session_in_use_goes_on_and_ends_when_it_is_given_back(self) -> None:
        def scene(server: Any, source: Source, key: RotatableSecret, pool: Any) -> None:
            with pool.hold() as ask:
                ask()
                (old,) = server.sessions(USER)
                self.rotate(server, source, key)
                # A second connection is there: callbacks were told.
                wait("a session of the new value", lambda: pool.ask() is None and key.stats["v2"]["ok"] > 0)
                ask()
                self.assertIn(old, server.sessions(USER))
            wait("the end of the old session", lambda: pool.ask() is None and old not in server.sessions(USER))

        self.each(scene)

    def test_a_refused_value_is_fetched_anew(self) -> None:
        def scene(server: Any, source: Source, key: RotatableSecret, pool: Any) -> None:
            server.set_password(USER, source.turn())
            pool.ask()
            self.assertEqual(key.stats["v1"]["refused"], 1)
            self.assertGreater(key.stats["v2"]["ok"], 0)
            self.assertEqual(key.stats["v2"]["refused"], 0)

        self.each(scene)

    def test_a_new_value_that_does_not_work_yet_falls_back(self) -> None:
        def scene(server: Any, source: Source, key: RotatableSecret, pool: Any) -> None:
            source.turn()
            key.refresh()
            pool.ask()
            self.assertEqual(key.stats["v2"]["ok"], 0)
            self.assertGreater(key.stats["v2"]["refused"], 0)
            self.assertGreater(key.stats["v1"]["ok"], 0)
            with pool.hold():
                old = server.sessions(USER)
            self.assertTrue(old)
            server.set_password(USER, source.value)
            wait("the end of the sessions of the value before", lambda: not old & server.sessions(USER))
            pool.ask()
            self.assertGreater(key.stats["v2"]["ok"], 0)

        with mock.patch.object(keyroll._secret, "FALLBACK_SECONDS", 0.5):
            self.each(scene)

    def test_two_refusals_are_an_error_without_a_value(self) -> None:
        def scene(server: Any, source: Source, key: RotatableSecret, pool: Any) -> None:
            first = source.value
            server.set_password(USER, secrets.token_hex(8))
            second = source.turn()
            with self.assertRaises(Exception) as raised:
                pool.ask()
            for value in (first, second):
                self.assertNotIn(value, repr(raised.exception) + str(raised.exception))

        self.each(scene)

    def test_user_and_password_change_together(self) -> None:
        server = self.servers[Postgres]
        for kind, pool in POOLS:
            if kind is Redis:
                continue
            with self.subTest(pool.__name__):
                words = [secrets.token_hex(8), secrets.token_hex(8)]
                server.set_password(USER, words[0])
                server.set_password("app_b", words[1])
                source = Source(json.dumps({"username": USER, "password": words[0]}))
                with secret(source) as key:
                    made = pool(key, server.port)
                    try:
                        made.fill()
                        self.assertEqual(len(server.sessions(USER)), SIZE)
                        source.turn(f"postgres://app_b:{words[1]}@127.0.0.1:{server.port}/postgres")
                        key.refresh()
                        wait("the end of the old login's sessions", lambda: not server.sessions(USER))
                        # In use: one that logged in during the drain is closed when it is given back.
                        with made.hold() as ask:
                            ask()
                            self.assertTrue(server.sessions("app_b"))
                    finally:
                        made.close()

    def test_a_pool_that_nobody_holds_is_not_kept(self) -> None:
        source = Source()
        with secret(source) as key:
            self.servers[Redis].set_password(USER, source.value)
            # More than there may be callbacks.
            for _ in range(100):
                keyroll.redis.client(key, USER, port=self.servers[Redis].port).close()


class Odd(unittest.TestCase):
    """What was broken once."""

    postgres: Postgres
    cache: Redis

    @classmethod
    def setUpClass(cls) -> None:
        cls.postgres, cls.cache = Postgres(), Redis()
        cls.addClassCleanup(cls.postgres.close)
        cls.addClassCleanup(cls.cache.close)
        cls.postgres.ask(f"CREATE ROLE {USER} LOGIN")
        for name in ("keyroll", "psycopg.pool", "sqlalchemy.pool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
            cls.addClassCleanup(logging.getLogger(name).setLevel, logging.NOTSET)

    def setUp(self) -> None:
        self.source = Source()
        for server in (self.postgres, self.cache):
            server.set_password(USER, self.source.value)
        self.key = secret(self.source)
        self.addCleanup(self.key.stop)

    def test_a_second_login_that_fails_leaves_nothing_behind(self) -> None:
        client = keyroll.redis.client(self.key, USER, port=self.cache.port, retry=None)
        self.addCleanup(client.close)
        self.source.turn()
        self.key.refresh()
        plain = redis.Connection.connect_check_health

        def breaks(connection: Any, check_health: bool = True, retry_socket_connect: bool = True) -> None:
            if key.stats["v2"]["refused"]:
                raise redis.ConnectionError("away")
            plain(connection, check_health, retry_socket_connect)

        key = self.key
        with mock.patch.object(redis.Connection, "connect_check_health", breaks):
            with self.assertRaises(redis.ConnectionError):
                client.get("x")
        self.key.compromise()
        self.cache.admin.acl_setuser(USER, enabled=True, passwords=[f"+{self.source.turn()}"])
        self.key.refresh()
        client.get("x")
        self.assertEqual(self.key.stats["v1"]["ok"], 0)
        self.assertGreater(self.key.stats["v3"]["ok"], 0)

    def test_a_subscription_goes_on_and_loses_nothing(self) -> None:
        client = keyroll.redis.client(self.key, USER, port=self.cache.port)
        self.addCleanup(client.close)
        self.cache.admin.execute_command("ACL", "SETUSER", USER, "&*")
        with client.pubsub(ignore_subscribe_messages=True) as told:
            told.subscribe("news")
            wait("the subscription", lambda: self.cache.admin.pubsub_numsub("news")[0][1])
            told.get_message(timeout=1)
            (session,) = self.cache.sessions(USER)
            self.source.turn()
            self.cache.admin.execute_command("ACL", "SETUSER", USER, f">{self.source.value}")
            self.key.refresh()
            wait("a new session", lambda: client.get("x") is None and self.key.stats["v2"]["ok"])
            self.cache.admin.publish("news", "one")
            found = wait("the message", lambda: told.get_message(timeout=1))
            self.assertEqual(found["data"], b"one")
            self.assertIn(session, self.cache.sessions(USER))

    def test_a_pool_that_is_busy_loses_no_connection(self) -> None:
        async def scene() -> None:
            pool = await keyroll.asyncpg.create_pool(
                self.key, host="127.0.0.1", port=self.postgres.port, user=USER, database="postgres", min_size=2, max_size=2
            )
            with mock.patch.object(type(pool), "get_idle_size", lambda _: 5):
                self.postgres.set_password(USER, self.source.turn())
                self.key.refresh()
                await asyncio.sleep(0.5)
            held = [await pool.acquire(timeout=5) for _ in range(2)]
            for each in held:
                await pool.release(each)
            await asyncio.wait_for(pool.close(), 10)

        asyncio.run(scene())

    def test_a_login_that_began_before_the_rotation_is_made_again(self) -> None:
        begun, go_on = threading.Event(), threading.Event()
        plain = keyroll.psycopg.login

        def slow(value: str) -> Any:
            if value == first:
                begun.set()
                go_on.wait(20)
            return plain(value)

        first = self.source.value
        self.postgres.ask("CREATE ROLE other LOGIN")
        place = f"host=127.0.0.1 port={self.postgres.port} dbname=postgres user={USER}"
        with mock.patch.object(keyroll.psycopg, "login", slow):
            with keyroll.psycopg.pool(self.key, place, min_size=1, max_size=1) as pool:
                self.assertTrue(begun.wait(20))
                second = self.source.turn(json.dumps({"user": "other", "password": "p-7-" + secrets.token_hex(8)}))
                self.postgres.set_password("other", json.loads(second)["password"])
                self.key.refresh()
                wait("the drain", lambda: self.key._followers()[0].drains)
                go_on.set()
                with pool.connection() as one:
                    self.assertEqual(one.execute("SELECT current_user").fetchone()[0], "other")
                self.assertEqual(self.postgres.sessions(USER), set())

    def test_a_fetch_does_not_stop_the_loop_of_an_engine(self) -> None:
        ticks: list[float] = []

        async def tick() -> None:
            while True:
                ticks.append(time.monotonic())
                await asyncio.sleep(0.01)

        async def scene() -> None:
            url = f"postgresql+asyncpg://{USER}@127.0.0.1:{self.postgres.port}/postgres"
            engine = keyroll.sqlalchemy.follow(sqlalchemy.ext.asyncio.create_async_engine(url), self.key)
            self.postgres.set_password(USER, self.source.turn())
            ticking = asyncio.ensure_future(tick())
            self.source.seconds = 1.0
            async with engine.connect():
                pass
            ticking.cancel()
            await engine.dispose()

        asyncio.run(scene())
        during = [at for at in ticks if self.source.began < at < self.source.began + 0.9]
        self.assertGreater(len(during), 10, "the loop went on during the fetch")

    def test_a_child_does_not_end_the_sessions_of_its_parent(self) -> None:
        url = f"postgresql+psycopg://{USER}@127.0.0.1:{self.postgres.port}/postgres"
        engine = keyroll.sqlalchemy.follow(sqlalchemy.create_engine(url), self.key)
        place = f"host=127.0.0.1 port={self.postgres.port} dbname=postgres user={USER}"
        pool = keyroll.psycopg.pool(self.key, place, min_size=1, max_size=1)
        for made in (engine.connect(), pool.connection()):
            with made:
                pass
        sessions = self.postgres.sessions(USER)
        child = os.fork()
        if child == 0:
            try:
                self.source.turn()
                self.key.refresh()
                followers = self.key._followers()
                wait("the drains", lambda: all(each.drains for each in followers), 20)
                time.sleep(0.2)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        self.assertEqual(self.postgres.sessions(USER), sessions)
        with engine.connect() as one:
            one.execute(sqlalchemy.text("SELECT 1"))
        engine.dispose()
        pool.close()

    def test_a_value_of_the_wrong_shape_is_a_refused_one(self) -> None:
        client = keyroll.redis.client(self.key, USER, port=self.cache.port)
        self.addCleanup(client.close)
        self.source.turn(json.dumps({"username": USER, "pass": "x"}))
        self.key.refresh()
        client.get("x")
        self.assertEqual(self.key.stats["v1"]["refused"], 0)
        self.assertGreater(self.key.stats["v2"]["refused"], 0)

    def test_a_refusal_that_the_program_names_counts_in_every_pool(self) -> None:
        for server, pool in POOLS:
            with self.subTest(pool.__name__):
                source = Source()
                named = self.postgres if server is Postgres else self.cache
                named.set_password(USER, source.value)
                kinds = ("InvalidPasswordError", "OperationalError", "AuthenticationError")
                # As if its words were of another language.
                with mock.patch.multiple(keyroll._refresh, _SQL_REFUSALS=(), _LOGIN_ERRORS=()), secret(
                    source, is_refusal=lambda error: type(error).__name__ in kinds or "asyncpg" in repr(type(error))
                ) as key:
                    made = pool(key, named.port)
                    try:
                        named.set_password(USER, source.turn())
                        made.ask()
                        self.assertEqual(key.stats["v1"]["refused"], 1)
                    finally:
                        made.close()

    def test_a_pool_of_redis_that_was_made_elsewhere_is_told(self) -> None:
        with self.assertRaisesRegex(TypeError, "would not use the key"):
            keyroll.redis.client(self.key, connection_pool=redis.ConnectionPool())


class Refusals(unittest.TestCase):
    def test_a_redis_that_is_away_is_no_refusal(self) -> None:
        source = Source()
        with secret(source) as key:
            client = keyroll.redis.client(key, USER, port=1, retry=None)
            with self.assertRaises(redis.ConnectionError):
                client.get("x")
            self.assertEqual(key.stats, {"v1": {"ok": 0, "refused": 0}})


if __name__ == "__main__":
    unittest.main()
