"""Tokens: what is sent to a real endpoint on loopback, what is taken from it, and when."""

from __future__ import annotations

import base64
import logging
import os
import random
import time
import unittest
from typing import Any
from unittest import mock
from urllib.parse import unquote_plus

from keyroll import RotatableSecret, SourceError
from keyroll import _oauth
from tests.support import a_value, until
from tests.token_endpoint import Case, TokenServer


def setUpModule() -> None:
    logging.getLogger("keyroll").addHandler(logging.NullHandler())


class TheRequest(Case):
    def test_post_and_basic(self) -> None:
        secret = a_value("ü &=+:%")
        manager = self.manager(client_secret=secret, scope="a b", extra={"audience": "x"})
        self.assertTrue(manager.token.startswith("token-"))
        form, headers = self.endpoint.requests[0]
        self.assertEqual(form, {
            "grant_type": ["client_credentials"], "scope": ["a b"], "audience": ["x"], "client_id": ["client"],
            "client_secret": [secret],
        })
        self.assertEqual(headers["content-type"], "application/x-www-form-urlencoded")
        self.assertTrue(self.manager(client_secret=secret, auth="basic").token)
        form, headers = self.endpoint.requests[1]
        self.assertEqual(form, {"grant_type": ["client_credentials"]})
        name, _, given = base64.b64decode(headers["authorization"].split()[1]).decode().partition(":")
        self.assertEqual((name, unquote_plus(given)), ("client", secret))

    def test_settings_that_can_never_work(self) -> None:
        bad: list[dict[str, Any]] = [
            {"refresh_url": "http://example.org/token"}, {"refresh_url": "ftp://example.org"}, {"refresh_url": ""},
            {"refresh_url": "file:///etc/passwd"}, {"refresh_url": "https://a:b@example.org/"}, {"client_id": ""},
            {"client_secret": ""}, {"auth": "none"}, {"timeout_seconds": 0}, {"token_lifetime_seconds": -1},
            {"refresh_before_expiry_seconds": -1}, {"token_lifetime_seconds": float("nan")},
            {"extra": {"client_secret": "x"}}, {"refresh_url": "https://example.org:port/"},
        ]
        for settings in bad:
            with self.assertRaises(ValueError, msg=str(settings)):
                self.manager(**settings)
        with self.assertRaises(TypeError):
            self.manager(client_secret=7)
        self.manager(refresh_url="http://example.org/token", plain=True)
        self.assertEqual(self.asked, 0)

    def test_a_redirect_is_not_followed(self) -> None:
        for status in (301, 302, 303, 307, 308):
            other = TokenServer()
            self.addCleanup(other.close)
            self.endpoint.say(status, {}, location=other.url)
            self.assertIn(f"answered {status} (a redirect", self.why(self.manager()))
            self.assertEqual(len(other.requests), 0)

    def test_a_proxy_of_the_environment_does_not_see_a_local_request(self) -> None:
        proxy = TokenServer()
        self.addCleanup(proxy.close)
        with mock.patch.dict(os.environ, {"http_proxy": proxy.url.rsplit("/", 1)[0], "no_proxy": ""}):
            self.assertTrue(self.manager().token)
        self.assertEqual((self.asked, len(proxy.requests)), (1, 0))

    def test_answers_that_are_no_token(self) -> None:
        for body, why in (
            (b"<html><body>Sign in</body></html>", "no JSON object"), (b"[]", "no JSON object"),
            ({}, "no access_token"),
            ({"access_token": ""}, "is empty"), ({"access_token": None}, "is not text"),
            ({"access_token": "<html></html>"}, "HTML"), ({"access_token": "changeme"}, "placeholder"),
            (b"x" * (1024 * 1024 + 1), "more than 1 MiB"), (b"[" * 100_000, "no JSON object"),
        ):
            self.endpoint.say(200, body)
            self.assertIn(why, self.why(self.manager()))

    def test_the_reason_is_one_of_the_known_words(self) -> None:
        self.endpoint.say(401, {"error": "invalid_client", "error_description": self.secret})
        self.assertEqual(self.why(self.manager()), "the token endpoint answered 401 invalid_client")
        self.endpoint.say(400, {"error": self.secret})
        self.assertEqual(self.why(self.manager()), "the token endpoint answered 400")
        self.endpoint.say(503, b"\xff" * 100)
        self.assertEqual(self.why(self.manager()), "the token endpoint answered 503")
        self.endpoint.close()
        self.assertIn("connection refused", self.why(self.manager()))

    def test_the_secret_may_be_a_function_or_a_rotatable_secret(self) -> None:
        self.assertTrue(self.manager(client_secret=lambda: self.secret).token)
        self.assertEqual(self.endpoint.requests[0][0]["client_secret"], [self.secret])

        def throws() -> str:
            raise ValueError(self.secret)

        self.assertIn("not available (ValueError)", self.why(self.manager(client_secret=throws)))
        self.assertIn("is empty", self.why(self.manager(client_secret=lambda: "")))

    def test_a_rotated_client_secret_is_taken_at_once(self) -> None:
        values = [self.secret]

        def answer() -> tuple[int, Any, dict[str, str]]:
            is_new = self.endpoint.requests[-1][0]["client_secret"] == [values[-1]]
            return self.endpoint.good() if is_new else (401, {"error": "invalid_client"}, {})

        with RotatableSecret("CLIENT", lambda: values[-1], refresh_interval_seconds=3600) as key:
            values.append(a_value("client"))
            self.endpoint.answer = answer
            self.assertTrue(self.manager(client_secret=key).token)
            self.assertEqual(self.asked, 2)

    def test_a_client_secret_that_is_rotated_during_the_request_is_tried(self) -> None:
        values = [self.secret]

        def answer() -> tuple[int, Any, dict[str, str]]:
            if len(values) == 1:
                # The request has the old one; before its answer comes, the program takes the new one.
                values.append(a_value("client"))
                self.assertTrue(key.refresh())
            is_new = self.endpoint.requests[-1][0]["client_secret"] == [values[-1]]
            return self.endpoint.good() if is_new else (401, {"error": "invalid_client"}, {})

        with RotatableSecret("CLIENT", lambda: values[-1], refresh_interval_seconds=3600) as key:
            self.endpoint.answer = answer
            self.assertTrue(self.manager(client_secret=key).token)
            self.assertEqual(self.asked, 2)
            self.assertEqual(key.version, "2")

    def test_a_client_secret_that_stays_refused_is_tried_twice_at_most(self) -> None:
        values = [self.secret]

        def answer() -> tuple[int, Any, dict[str, str]]:
            values.append(a_value("client"))
            self.assertTrue(key.refresh())
            return 401, {"error": "invalid_client"}, {}

        with RotatableSecret("CLIENT", lambda: values[-1], refresh_interval_seconds=3600) as key:
            self.endpoint.answer = answer
            manager = self.manager(client_secret=key)
            self.assertEqual(self.why(manager), "the token endpoint answered 401 invalid_client")
            sent = [form["client_secret"][0] for form, _ in self.endpoint.requests]
            self.assertEqual(sent, values[:2])

    def test_a_fetch_fn(self) -> None:
        value = a_value()
        self.assertEqual(self.manager(fetch_fn=lambda: value).token, value)
        manager = self.manager(fetch_fn=lambda: {"access_token": value, "expires_in": 100}, refresh_url="")
        self.assertEqual((manager.token, manager.expires_in), (value, 100.0))

        def throws() -> str:
            raise ValueError(value)

        def says() -> str:
            raise SourceError("the broker is away")

        self.assertEqual(self.why(self.manager(fetch_fn=throws)), "the request failed (ValueError)")
        self.assertEqual(self.why(self.manager(fetch_fn=says)), "the broker is away")
        self.assertEqual(self.asked, 0)


class Lives(Case):
    def test_the_life_of_an_answer(self) -> None:
        for given, life in (
            (100, 100.0), ("100", 100.0), (" 100.5 ", 100.5), (None, 1800.0), (-5, 1800.0),
            ("soon", 1800.0), ("-0.5", 1800.0), (-1e-6, 1800.0), ("", 1800.0), (1, 1.0),
            # What has ended, or is about to, is not kept.
            (0, 1.0), ("0", 1.0), (0.5, 1.0), (0.0, 1.0), (1e-6, 1.0), ("0.999", 1.0),
            (True, 1800.0), (float("nan"), 1800.0), ("nan", 1800.0), ([], 1800.0), (10**400, 1800.0),
            (1e300, _oauth.LIFE_SECONDS_MAX),
        ):
            self.endpoint.say(200, {"access_token": a_value(), "expires_in": given})
            manager = self.manager()
            self.assertEqual(manager.expires_in, 0.0)
            manager.get()
            self.assertEqual(manager.expires_in, life, given)

    def test_it_is_asked_for_ahead_of_its_end(self) -> None:
        told: list[str] = []
        manager = self.manager(on_rotation=told.append)
        first = manager.token
        self.clock.pass_(3600 - 301)
        self.assertEqual((manager.token, self.asked), (first, 1))
        self.clock.pass_(2)
        # Nobody waits while the old one is valid.
        self.assertEqual(manager.get(), first)
        until(lambda: manager.token != first)
        self.assertEqual((self.asked, manager.version), (2, "2"))
        until(lambda: told == [manager.token])
        # Whoever keeps what was told must learn of the next one after this too.
        manager.invalidate()
        until(lambda: told[1:] == [manager.token])

    def test_a_look_at_the_token_asks_for_nothing(self) -> None:
        manager = self.manager()
        self.assertIsNone(manager._peek())
        first = manager.token
        self.clock.pass_(10_000)
        self.assertEqual(manager._peek(), first)
        manager.invalidate()
        self.assertIsNone(manager._peek())
        self.assertEqual(self.asked, 1)

    def test_a_life_of_next_to_nothing_is_not_one_request_per_use(self) -> None:
        self.endpoint.say(200, {"access_token": a_value(), "expires_in": 1e-6})
        manager = self.manager()
        for _ in range(10):
            self.assertTrue(manager.token)
            self.clock.pass_(0.01)
        self.assertEqual(self.asked, 1)

    def test_an_endpoint_that_always_says_0_is_asked_at_most_once_a_second(self) -> None:
        said: list[object] = [0, "0", 0.5]

        def answer() -> tuple[int, Any, dict[str, str]]:
            return 200, {"access_token": a_value(), "expires_in": said[self.asked % len(said)]}, {}

        self.endpoint.answer = answer
        manager = self.manager()
        for second in range(5):
            first = manager.token
            self.assertEqual(self.asked, second + 1)
            for _ in range(9):
                self.clock.pass_(0.1)
                self.assertEqual(manager.token, first)
            self.assertEqual(self.asked, second + 1)
            if second == 4:
                self.endpoint.say(500, {})
            self.clock.pass_(0.15)
        # The pause after a failure holds too.
        for _ in range(20):
            self.assertEqual(self.why(manager), "the token endpoint answered 500")
        self.assertEqual(self.asked, 6)

    def test_it_is_asked_for_without_being_used(self) -> None:
        self.endpoint.say(200, {"access_token": a_value(), "expires_in": 1.2})
        manager = self.manager(_clock=time)
        manager.get()
        self.endpoint.answer = self.endpoint.good
        until(lambda: self.asked == 2)

    def test_the_margin_is_at_most_half_the_life(self) -> None:
        self.endpoint.say(200, {"access_token": a_value(), "expires_in": 100})
        manager = self.manager()
        manager.get()
        self.assertEqual(manager._due(), 50.0)
        self.clock.pass_(51)
        manager.get()
        until(lambda: self.asked == 2)

    def test_a_hundred_short_lives(self) -> None:
        def answer() -> tuple[int, Any, dict[str, str]]:
            return 200, {"access_token": a_value(), "expires_in": random.choice([1, "1.5", 2.0])}, {}

        self.endpoint.answer = answer
        manager = self.manager()
        seen = set()
        for _ in range(100):
            seen.add(manager.token)
            self.clock.pass_(2.1)
        self.assertEqual((len(seen), self.asked), (100, 100))

    def test_a_machine_that_slept_and_clocks_that_jump(self) -> None:
        manager = self.manager()
        first = manager.token
        self.clock.wall -= 100_000
        self.assertEqual((manager.token, manager.expires_in), (first, 3600.0))
        self.clock.wall += 100_000 + 0.9
        self.assertEqual(manager.expires_in, 3600.0)
        self.clock.wall += 4000
        self.assertEqual(manager.expires_in, 0.0)
        self.assertNotEqual(manager.token, first)
        self.assertEqual(self.asked, 2)

if __name__ == "__main__":
    unittest.main()
