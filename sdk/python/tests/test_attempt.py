"""What a module for a library is built of: attempts, pools that are drained, logins, origins."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import pickle
import unittest
from typing import Any
from unittest import mock

from keyroll import RefusedValue, RotatableSecret, SecretUnavailable, SelfExpiringTokenManager, SourceError, Versioned
from keyroll import _refresh, _secret
from keyroll._follow import Follower
from keyroll._login import login
from keyroll._origins import Origins
from tests.support import Records, a_value, until

HOUR = 3600.0


class Store:
    """A source with versions."""

    def __init__(self) -> None:
        self.number = 0
        self.turn()

    def turn(self) -> str:
        self.number += 1
        self.value = a_value(f"k{self.number}")
        return self.value

    def __call__(self) -> Versioned:
        return Versioned(self.value, f"v{self.number}", self.number)


def away() -> str:
    raise SourceError("away")


class Attempts(unittest.TestCase):
    def setUp(self) -> None:
        self.store = Store()
        self.key = RotatableSecret("KEY", self.store, HOUR)
        self.addCleanup(self.key.stop)

    def test_a_status_says_accepted_refused_or_nothing(self) -> None:
        for status, refused, counted in (
            (200, False, 1), (204, False, 1), (304, False, 1), (101, False, 0), (400, False, 0), (401, True, 0),
            (403, True, 0), (404, False, 0), (429, False, 0), (500, False, 0),
        ):
            with self.subTest(status):
                before = self.key.stats["v1"]["ok"]
                self.assertEqual(self.key.attempt().answered(status), refused)
                self.assertEqual(self.key.stats["v1"], {"ok": before + counted, "refused": 0})

    def test_a_refused_value_gives_the_newly_fetched_one_and_then_nothing(self) -> None:
        first = self.key.attempt()
        new = self.store.turn()
        second = first.refused()
        assert second is not None
        self.assertEqual((second.value, second.version), (new, "v2"))
        self.assertIsNone(second.refused())
        self.assertEqual(self.key.stats, {"v1": {"ok": 0, "refused": 1}, "v2": {"ok": 0, "refused": 1}})

    def test_an_attempt_without_a_loop_and_with_one_do_the_same(self) -> None:
        async def scene() -> Any:
            first = await self.key.aattempt()
            self.store.turn()
            second = await first.arefused()
            assert second is not None
            second.accepted()
            return await second.arefused()

        self.assertIsNone(asyncio.run(scene()))
        self.assertEqual(self.key.stats, {"v1": {"ok": 0, "refused": 1}, "v2": {"ok": 1, "refused": 1}})

    def test_a_new_value_that_is_refused_gives_the_previous_one_unless_it_was_compromised(self) -> None:
        old = self.key.value
        self.store.turn()
        self.key.refresh()
        second = self.key.attempt().refused()
        self.assertEqual(second and second.value, old)
        self.key.compromise()
        self.assertIsNone(self.key.attempt().refused())

    def test_a_value_that_came_back_meanwhile_is_not_tried_twice(self) -> None:
        values = [a_value("a"), a_value("b")]
        answers = [values[0], values[1], values[0]]
        key = RotatableSecret("KEY", lambda: answers[0], HOUR)
        self.addCleanup(key.stop)
        attempt = key.attempt()
        for _ in range(2):
            answers.pop(0)
            key.refresh()
        second = attempt.refused()
        self.assertEqual(second and second.value, values[1])

    def test_without_a_value_there_is_no_attempt(self) -> None:
        with Records(), RotatableSecret("KEY", away, HOUR) as key:
            with self.assertRaises(SecretUnavailable):
                key.attempt()
            with self.assertRaises(SecretUnavailable):
                asyncio.run(key.aattempt())

    def test_a_value_that_is_no_header_is_refused_and_not_shown(self) -> None:
        for value in ("canary\nb", "canary\rb", "canary\tb", " canary", "canary ", "canaryé"):
            with self.subTest(repr(value)), RotatableSecret("KEY", lambda: Versioned(value, "7"), HOUR) as key:
                with self.assertRaises(RefusedValue) as raised:
                    key.attempt().header("Bearer ")
                self.assertNotIn("canary", str(raised.exception))
        self.assertEqual(self.key.attempt().header("Bearer "), f"Bearer {self.store.value}")

    def test_nothing_of_it_shows_the_value(self) -> None:
        attempt = self.key.attempt()
        self.assertNotIn(self.store.value, repr(attempt))
        with self.assertRaises(TypeError):
            pickle.dumps(attempt)

    def test_a_path_is_handed_on(self) -> None:
        told: list[Any] = []
        with mock.patch.object(RotatableSecret, "_report", lambda _, *words: told.append(words)):
            self.key.attempt("fallback").accepted()
            self.key.with_fallback(lambda value: None, path="other")
        self.assertEqual(told, [("v1", True, "fallback"), ("v1", True, "other")])

    def test_a_token_that_was_refused_is_asked_for_anew(self) -> None:
        given = [a_value("t1"), a_value("t2")]
        left = list(given)
        with SelfExpiringTokenManager("", "", "", fetch_fn=lambda: left.pop(0)) as tokens:
            first = tokens.attempt()
            second = first.refused()
            self.assertEqual((first.value, second and second.value), (given[0], given[1]))
            assert second is not None
            self.assertEqual((first.version, second.version), ("1", "2"))
            self.assertIsNone(second.refused())
            again = asyncio.run(tokens.aattempt())
            self.assertEqual((again.value, again.version), (given[1], "2"))


class Pool:
    def __init__(self) -> None:
        self.drained = 0

    def drain(self) -> None:
        self.drained += 1

    async def adrain(self) -> None:
        self.drained += 1


class Pools(unittest.TestCase):
    def setUp(self) -> None:
        self.store = Store()
        self.key = RotatableSecret("KEY", self.store, HOUR)
        self.addCleanup(self.key.stop)

    def rotate(self) -> None:
        self.store.turn()
        self.assertTrue(self.key.refresh())

    def follow(self, drain: Any, *, loop: bool = False) -> Pool:
        pool = Pool()
        follower = Follower(self.key, pool, drain)
        if loop:
            follower.entered()
        return pool

    def test_a_pool_is_drained_after_each_rotation(self) -> None:
        pool = self.follow(Pool.drain)
        for turn in (1, 2):
            self.rotate()
            until(lambda: pool.drained == turn)

    def test_a_pool_of_a_loop_is_drained_in_it(self) -> None:
        async def scene() -> int:
            pool: Pool = self.follow(Pool.adrain, loop=True)
            self.rotate()
            while not pool.drained:
                await asyncio.sleep(0.01)
            return pool.drained

        self.assertEqual(asyncio.run(asyncio.wait_for(scene(), 10)), 1)

    def test_a_drain_that_fails_is_said_without_its_text(self) -> None:
        async def fails(_: Pool) -> None:
            raise ValueError("canary-text")

        async def scene() -> None:
            pool = self.follow(fails, loop=True)
            self.rotate()
            while not records.texts(logging.WARNING):
                await asyncio.sleep(0.01)
            del pool

        with Records() as records:
            asyncio.run(asyncio.wait_for(scene(), 10))
        self.assertIn("was not drained: ValueError", "".join(records.texts()))
        self.assertNotIn("canary", "".join(records.texts()))

    def test_a_closed_loop_is_left_alone(self) -> None:
        async def scene() -> Pool:
            return self.follow(Pool.adrain, loop=True)

        pool = asyncio.run(scene())
        after = self.follow(Pool.drain)
        with Records() as records:
            self.rotate()
            until(lambda: after.drained)
        self.assertEqual((pool.drained, records.texts(logging.WARNING)), (0, []))

    def test_pools_that_nobody_holds_are_forgotten(self) -> None:
        for _ in range(_secret.CALLBACKS_MAX + 1):
            self.follow(Pool.drain)
            gc.collect()
        kept = self.follow(Pool.drain)
        self.rotate()
        until(lambda: kept.drained)

    def test_after_a_fall_back_pools_are_drained_once_more(self) -> None:
        pool = self.follow(Pool.drain)
        self.rotate()
        until(lambda: pool.drained == 1)
        with mock.patch.object(_secret, "FALLBACK_SECONDS", 0.05):
            for turn in (2, 3):
                second = self.key.attempt().refused()
                assert second is not None
                second.accepted()
                until(lambda: pool.drained == turn)

    def test_a_value_that_was_fetched_anew_is_no_fall_back(self) -> None:
        pool = self.follow(Pool.drain)
        with mock.patch.object(_secret, "FALLBACK_SECONDS", 0.0):
            self.store.turn()
            self.assertIsNotNone(self.key.attempt().refused())
            self.assertIsNone(self.key._drain_at)
            until(lambda: pool.drained == 1)


class Words(unittest.TestCase):
    def test_a_value_may_name_the_user_too(self) -> None:
        for value, expected in (
            ("pw", {"password": "pw"}),
            (json.dumps({"username": "a", "password": "p{}"}), {"user": "a", "password": "p{}"}),
            (json.dumps({"user": "a", "password": "p", "host": "h"}), {"user": "a", "password": "p"}),
            (json.dumps({"password": "p"}), {"password": "p"}),
            ("postgres://a%40b:p%3Aw@h:5432/d", {"user": "a@b", "password": "p:w"}),
            ("redis://:pw@h/0", {"password": "pw"}),
            ("https://h/path", {"password": "https://h/path"}),
            ("{not json", {"password": "{not json"}),
            ("p://[x@y", {"password": "p://[x@y"}),
        ):
            with self.subTest(value):
                self.assertEqual(login(value), expected)
        with self.assertRaises(RefusedValue) as raised:
            login(json.dumps({"canary": "text"}))
        self.assertNotIn("canary", str(raised.exception))

    def test_a_key_goes_to_its_origins_alone(self) -> None:
        named = Origins(["https://api.example.org", "http://127.0.0.1:8080/x"])
        with Records():
            for url, expected in (
                ("https://api.example.org:443/v1", True), ("https://API.example.org", True),
                ("http://127.0.0.1:8080", True), ("http://api.example.org", False),
                ("https://api.example.org.evil.test", False), ("https://api.example.org:8443", False),
            ):
                self.assertEqual(named.has(url), expected, url)
        with self.assertRaises(ValueError):
            Origins(["api.example.org"])

    def test_without_origins_it_is_that_of_the_first_request(self) -> None:
        first = Origins([])
        with Records() as records:
            self.assertTrue(first.has("https://a.example"))
            self.assertFalse(first.has("https://b.example"))
            self.assertFalse(first.has("https://c.example"))
        self.assertEqual("".join(records.texts()).count("the key is not sent to"), 1)

    def test_a_refused_login_is_known_by_what_its_driver_has(self) -> None:
        class OperationalError(Exception):
            pass

        class AuthenticationError(Exception):
            pass

        for error, expected in (
            (OperationalError('connection failed: FATAL:  password authentication failed for user "app"'), True),
            (OperationalError('FATAL:  role "app" is not permitted to log in'), True),
            (OperationalError('FATAL:  database "shop" does not exist'), False),
            (OperationalError("connection refused"), False),
            (OperationalError(1045, "Access denied for user"), True),
            (OperationalError(2003, "Can't connect"), False),
            (AuthenticationError("WRONGPASS invalid username-password pair or user is disabled."), True),
            (AuthenticationError("AUTH called without any password configured"), False),
            (ValueError("password authentication failed for user"), False),
        ):
            with self.subTest(str(error)):
                self.assertEqual(_refresh.is_refusal(error), expected)


if __name__ == "__main__":
    unittest.main()
