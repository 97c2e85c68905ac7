"""The guard: no secret in logs, in what agents give back, in streams and answers."""

from __future__ import annotations

import asyncio
import base64
import datetime
import decimal
import enum
import fractions
import html
import json
import logging
import os
import pickle
import random
import secrets
import unittest
import unittest.mock
import uuid
from typing import Any, AsyncIterator, Iterator
from urllib.parse import quote

import keyroll._guard as guard
from keyroll import RotatableSecret, SelfExpiringTokenManager, Versioned
from keyroll._guard import (
    AgentOutputMiddleware,
    RedactingFilter,
    RedactingStream,
    agent_output_middleware,
    check_agent_output_for_leaks,
    redact_stream,
    safe_log,
)
from keyroll.detect import redact_secrets
from keyroll.detect._output import UNREADABLE
from keyroll.detect._forms import forms_of
from keyroll.detect._known import Known

from . import endpoint, made


HORSE = "correct horse battery staple"

# How programs write a value, so that each reader gets the same value back.
WRITTEN = {
    "encodeURIComponent": lambda text: quote(text, safe="!'()*"),
    "encodeURI": lambda text: quote(text, safe=";/?:@&=+$,#!'()*"),
    "URLSearchParams": lambda text: quote(text, safe=" *").replace("~", "%7E").replace(" ", "+"),
    "html.escape": html.escape,
    "html.escape without quotes": lambda text: html.escape(text, quote=False),
    "html/template": lambda text: html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "XML": lambda text: html.escape(text).replace("&#x27;", "&apos;"),
    "HTML, double quotes alone": lambda text: html.escape(text).replace("&#x27;", "'"),
    "HTML, single quotes alone": lambda text: html.escape(text).replace("&quot;", '"').replace("&#x27;", "&#39;"),
    "repr": lambda text: repr(text)[1:-1],
    "repr within a longer text": lambda text: repr(f"{text} of 'it' and \"it\"")[1:].split(" of ")[0],
    "repr with one kind of quotes": lambda text: "".join(repr(letter)[1:-1] for letter in text),
    "ascii": lambda text: ascii(text)[1:-1],
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "JSON within HTML": lambda text: json.dumps(text)[1:-1].translate(IN_HTML),
    "JSON within HTML, also single quotes": lambda text: json.dumps(text)[1:-1].translate({**IN_HTML, 39: "\\u0027"}),
}
IN_HTML = {ord(sign): f"\\u{ord(sign):04x}" for sign in "&<>"}


class Rotating:
    """As a RotatableSecret: a name, and a value that changes or is not there."""

    def __init__(self, value: str | None, name: str = "API_KEY") -> None:
        self.now, self.name = value, name

    def get(self) -> str:
        if self.now is None:
            raise RuntimeError("no value yet")
        return self.now


class Lines(logging.Handler):
    """What a handler with a plain format writes; with ``fields``, also the record's own fields as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.records: list[logging.LogRecord] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(self.format(record))

    def everything(self) -> str:
        return "\n".join(self.lines) + repr([record.__dict__ for record in self.records])


class WithLogger(unittest.TestCase):
    def setUp(self) -> None:
        self.logger = logging.Logger(f"test.{secrets.token_hex(4)}")
        self.seen = Lines()
        self.logger.addHandler(self.seen)
        self.key = made.of_rule("gitlab-token")
        self.word = made.password()


class TheFilter(WithLogger):
    def setUp(self) -> None:
        super().setUp()
        self.secret = Rotating(f"plain words of {secrets.token_hex(4)}/+ \"é")
        self.seen.addFilter(RedactingFilter(known=[self.secret, self.word]))

    def test_message_arguments_traceback_stack_and_fields_are_redacted(self) -> None:
        self.logger.info("key %s of %s", self.key, "ada")
        self.logger.info("%(a)s", {"a": self.key})
        self.logger.info("in %s", ["x", {"token": self.key}])
        self.logger.info("hidden in %.3s", self.key)
        try:
            raise ValueError(f"bad key {self.key}")
        except ValueError:
            self.logger.exception("failed", stack_info=True)
        self.logger.info("fields", extra={"token": self.key, "deep": {"a": [self.word]}, "count": 3})
        self.logger.info(Exception(self.key))
        record = self.logger.makeRecord("x", logging.INFO, "x.py", 1, "with a stack", (), None, sinfo=f"at {self.key}")
        self.logger.handle(record)
        text = self.seen.everything()
        self.assertNotIn(self.key, text)
        self.assertNotIn(self.word, text)
        self.assertEqual(self.seen.lines[0], "INFO key [redacted:gitlab-token] of ada")
        self.assertIn("ValueError: bad key [redacted:gitlab-token]", self.seen.lines[4])
        self.assertIn("test_guard", self.seen.lines[4])
        self.assertEqual(self.seen.records[5].__dict__["deep"], {"a": ["[redacted:known-value]"]})

    def test_a_record_without_a_finding_stays_as_it_is(self) -> None:
        try:
            raise ValueError("nothing")
        except ValueError:
            self.logger.exception("user %s of %d", "ada", 3, extra={"count": 3})
        record = self.seen.records[0]
        self.assertEqual((record.msg, record.args), ("user %s of %d", ("ada", 3)))
        self.assertTrue(record.exc_info)
        self.assertIn("ValueError: nothing", self.seen.lines[0])

    def test_a_known_value_is_found_in_its_encodings_and_after_its_rotation(self) -> None:
        for _ in range(2):
            value = self.secret.get()
            raw = value.encode()
            for before in range(3):
                self.logger.info(base64.b64encode(os.urandom(before) + raw + b"after").decode())
                self.logger.info(base64.urlsafe_b64encode(os.urandom(before) + raw).decode())
            self.logger.info(quote(value))
            self.logger.info(quote(value, safe="").lower())
            self.logger.info(json.dumps({"a": value}))
            self.logger.info(json.dumps({"a": value}, ensure_ascii=False).replace("/", "\\/"))
            self.logger.info(value)
            self.secret.now = f"other words of {secrets.token_hex(4)}"
            self.logger.info("once more %s", value)
        for line in self.seen.lines:
            self.assertIn("[redacted:API_KEY]", line)
        self.assertNotIn(value, self.seen.everything())
        # In the second alphabet of base64 these have other digits.
        self.secret.now = "~~~?>>>>????~~~~"
        for before in range(3):
            raw = base64.urlsafe_b64encode(bytes(before) + self.secret.now.encode())
            self.assertTrue({b"-"[0], b"_"[0]} & set(raw))
            self.logger.info(raw.decode())
            self.assertIn("[redacted:API_KEY]", self.seen.lines[-1])

    def test_a_secret_without_a_value_is_passed_over(self) -> None:
        self.secret.now = None
        self.logger.info("ready")
        self.assertEqual(self.seen.lines, ["INFO ready"])

    def test_it_never_raises_and_shows_nothing_unchecked(self) -> None:
        class Bad:
            def __str__(bad) -> str:
                raise RuntimeError(self.key)

            __repr__ = __str__

        self.logger.info("of %s %s", self.key)  # Too few arguments.
        self.logger.info("of %d", self.key)
        self.logger.info("of %s", Bad())
        self.logger.info(Bad())
        self.logger.info("fine", extra={"field": Bad()})
        # What cannot be checked is withheld alone.
        self.assertEqual((self.seen.lines.pop(), self.seen.records[-1].__dict__["field"]), ("INFO fine", UNREADABLE))
        for line in self.seen.lines:
            self.assertTrue("[redacted:gitlab-token]" in line or guard.UNCHECKED in line, line)
        self.assertEqual(len(self.seen.lines), 4)
        self.assertNotIn(self.key, "".join(self.seen.lines))
        # As it is when the detector itself fails.
        with unittest.mock.patch.object(guard, "_redacted", side_effect=RuntimeError):
            self.logger.error("of %s", self.key, extra={"more": self.key})
        self.assertEqual(self.seen.lines[-1], f"ERROR {guard.UNCHECKED}")
        self.assertNotIn(self.key, repr(self.seen.records[-1].__dict__))

    def test_an_object_is_checked_as_both_of_its_texts(self) -> None:
        class Thing:
            def __init__(thing, text: Any, masked: Any) -> None:
                thing.text, thing.masked = text, masked

            def __str__(thing) -> str:
                return str(thing.text())

            def __repr__(thing) -> str:
                return str(thing.masked())

        def fails() -> str:
            raise RuntimeError(self.word)

        class AsJson(logging.Formatter):
            def format(self, record: logging.LogRecord) -> str:
                return json.dumps({"message": record.getMessage(), "url": record.__dict__["url"]}, default=str)

        self.seen.setFormatter(AsJson())
        found, address = "db://ada:[redacted:known-value]@db", f"db://ada:{self.word}@db"
        plain = Thing(lambda: "a", lambda: "b")
        for thing, shown in (
            (Thing(lambda: address, lambda: "db://ada:***@db"), found),
            (Thing(lambda: "db://ada:***@db", lambda: address), found),
            (Thing(fails, lambda: "fine"), UNREADABLE),
            (Thing(lambda: "fine", fails), UNREADABLE),
            (plain, plain),
        ):
            self.logger.info("connected", extra={"url": thing})
            self.assertEqual(self.seen.records[-1].__dict__["url"], shown)
            self.logger.info("connected", extra={"url": [thing, {"a": thing}]})
            self.assertEqual(self.seen.records[-1].__dict__["url"], [shown, {"a": shown}])
            self.assertNotIn(self.word, "".join(self.seen.lines))
            self.assertIn('"message": "connected"', self.seen.lines[-1])

    def test_data_within_itself_or_shared_neither_hangs_nor_leaks(self) -> None:
        class Thing:
            def __repr__(thing) -> str:
                return f"<Thing {self.key}>"

        plain, shared = object(), [Thing(), self.key]
        circle: list[Any] = [self.key, plain]
        circle.append(circle)
        for _ in range(60):
            shared = [shared, shared]
        self.logger.info("data", extra={"circle": circle, "shared": shared})
        self.assertNotIn("could not be checked", self.seen.lines[0])
        fields = self.seen.records[0].__dict__
        self.assertEqual(fields["circle"], ["[redacted:gitlab-token]", plain, "[repeated]"])
        inner = fields["shared"]
        while isinstance(inner[0], list):
            inner = inner[0]
        self.assertEqual(inner, ["<Thing [redacted:gitlab-token]>", "[redacted:gitlab-token]"])

    def test_only_usable_known_values_are_taken_and_none_is_shown(self) -> None:
        with self.assertRaises(ValueError) as short:
            RedactingFilter(known=["seven77"])
        self.assertNotIn("seven77", str(short.exception))
        for known in (self.word, [b"bytes of a value"], [None], [{"get": 1}]):
            with self.assertRaises(TypeError):
                RedactingFilter(known=known)
        made_of = RedactingFilter(known=[self.word])
        for one in (made_of, Known([self.word]), RedactingStream(print, known=[self.word])):
            self.assertNotIn(self.word, repr(one))
            with self.assertRaises(TypeError):
                pickle.dumps(one)


class WhatIsKnown(unittest.TestCase):
    def rotated(self) -> tuple[RotatableSecret, str, str]:
        """A real secret whose value was replaced before anybody searched for it."""
        old, new = (f"{word} {secrets.token_hex(4)} horse" for word in ("old", "new"))
        values = [old, new]
        key = RotatableSecret("API_KEY", lambda: values.pop(0) if len(values) > 1 else values[0], 3600)
        self.addCleanup(key.stop)
        self.assertTrue(key.refresh())
        self.assertEqual(key.value, new)
        return key, old, new

    def test_the_previous_value_of_a_secret_is_found_too(self) -> None:
        key, old, new = self.rotated()
        result = check_agent_output_for_leaks(f"{old} and {new}", known=[key])
        self.assertEqual(result["redacted"], "[redacted:API_KEY] and [redacted:API_KEY]")
        logger, seen = logging.Logger("x"), Lines()
        logger.addHandler(seen)
        safe_log("%s", old, logger=logger, known=[key])
        self.assertEqual(seen.lines, ["INFO [redacted:API_KEY]"])

    def test_a_value_is_found_in_every_way_of_writing_it(self) -> None:
        for value in (
            "s3cr&t/pa(ss)*x!9", "a'b\"c<d>e&f~g", "it's 5 o'clock", 'say "no" & <go> é', "back\\slash 'n \"t",
            "plain-7f3a9c",
        ):
            for way, written in WRITTEN.items():
                text = f"<{written(value)}>"
                found = check_agent_output_for_leaks(text, known=[value])["redacted"]
                self.assertEqual(found, "<[redacted:known-value]>", (way, text))
                out: list[str] = []
                with RedactingStream(out.append, known=[value]) as stream:
                    for letter in text:
                        stream.write(letter)
                self.assertEqual("".join(out), found, (way, text))

    def test_a_value_has_few_forms(self) -> None:
        # Each is one more to look for in every text.
        self.assertLessEqual(len(forms_of(secrets.token_hex(20))), 7)
        self.assertLessEqual(len(forms_of("a'b\"c<d>e&f/g+h~i(j)k\\l é=")), 96)

    def test_values_that_overlap_are_redacted_whole(self) -> None:
        one, two, three = "hunter2-prod", "prod-9f8e7d6c5b4a", "5b4a and words"
        for text, known, shown in (
            ("a hunter2-prod-9f8e7d6c5b4a b", [one, two], "a [redacted:known-value] b"),
            ("a hunter2-prod-9f8e7d6c5b4a and words b", [one, two, three], "a [redacted:known-value] b"),
            ("a abcabcabcabcabcabcab b", ["abcabcabc"], "a [redacted:known-value]ab b"),
            ("hunter2-prodprod-9f8e7d6c5b4a", [one, two], "[redacted:known-value][redacted:known-value]"),
            ("a long-hunter2-prod-long b", [one, "long-hunter2-prod-long"], "a [redacted:known-value] b"),
        ):
            result = check_agent_output_for_leaks(text, known=known)
            self.assertEqual(result["redacted"], shown)
            self.assertEqual(len(result["findings"]), shown.count("["))
            for size in (1, 3, 7):
                pieces = [text[at : at + size] for at in range(0, len(text), size)]
                self.assertEqual("".join(redact_stream(pieces, known=known)), shown)

    def test_what_an_emergency_push_replaced_is_still_found(self) -> None:
        old, new = (f"{word} {secrets.token_hex(6)}" for word in ("old", "new"))
        with endpoint.served(accept=lambda name, value: True) as control:
            control.set_secret(endpoint.NAME, old)
            key = RotatableSecret(endpoint.NAME, control.source(endpoint.NAME), 3600)
            self.addCleanup(key.stop)
            self.assertEqual(endpoint.rotate(control, new)[0], 200)
            self.assertTrue(key.refresh())
        self.assertEqual(key.value, new)
        for value in (old, new):
            self.assertTrue(check_agent_output_for_leaks(f"a {value} b", known=[key])["leaked"])

    def test_the_last_compromised_values_are_still_found(self) -> None:
        values = [f"value {at} {secrets.token_hex(6)}" for at in range(18)]
        left = list(values)
        key = RotatableSecret("API_KEY", lambda: Versioned(left.pop(0), compromised=True), 3600)
        self.addCleanup(key.stop)
        while left:
            self.assertTrue(key.refresh())
        self.assertEqual(key.value, values[-1])
        # Of the one before them nothing is kept.
        for at, value in enumerate(values):
            self.assertEqual(check_agent_output_for_leaks(f"a {value} b", known=[key])["leaked"], at > 0)
        known = Known([key])
        # Once they are read, no search makes ready anew.
        with unittest.mock.patch("keyroll.detect._known.forms_of", side_effect=AssertionError):
            for _ in range(3):
                self.assertEqual(len(known.find(" ".join(values).encode())), 17)

    def test_a_compromised_value_is_not_fallen_back_to_and_not_shown(self) -> None:
        old, new = secrets.token_hex(8), secrets.token_hex(8)
        values = [old, new]
        key = RotatableSecret("API_KEY", lambda: values[0], 3600)
        self.addCleanup(key.stop)
        key.compromise()
        del values[0]
        key.refresh()
        tried: list[str] = []

        def call(value: str) -> None:
            tried.append(value)
            raise PermissionError("no")

        with self.assertRaises(PermissionError):
            key.with_fallback(call)
        self.assertNotIn(old, tried)
        self.assertNotIn(old, repr(key))
        self.assertTrue(check_agent_output_for_leaks(old, known=[key])["leaked"])

    def test_without_previous_values_none_is_kept_for_the_search(self) -> None:
        old, new = secrets.token_hex(8), secrets.token_hex(8)
        values = [old, new]
        key = RotatableSecret("API_KEY", lambda: values[0], 3600, keep_previous=False)
        self.addCleanup(key.stop)
        key.compromise()
        del values[0]
        key.refresh()
        self.assertFalse(check_agent_output_for_leaks(old, known=[key])["leaked"])

    def test_the_values_of_the_beginning_are_found_after_rotations(self) -> None:
        secret = Rotating(f"first {secrets.token_hex(8)}")
        first, known = secret.get(), Known([secret])
        secret.now = secrets.token_hex(8)
        self.assertEqual(len(known.find(first.encode())), 1)

    def test_of_a_token_manager_only_the_token_that_it_holds_is_read(self) -> None:
        token = f"token {secrets.token_hex(8)}"
        asked: list[str] = []

        def fetch() -> str:
            asked.append("once")
            return token

        manager = SelfExpiringTokenManager("", "", "", fetch_fn=fetch)
        self.addCleanup(manager.stop)
        known = Known([manager])
        self.assertEqual((known.find(token.encode()), asked), ([], []))
        self.assertEqual(manager.token, token)
        self.assertEqual(len(known.find(token.encode())), 1)
        manager.invalidate()
        known.find(b"some text")
        self.assertEqual(asked, ["once"])

    def test_a_value_that_is_too_short_is_told_once(self) -> None:
        secret = Rotating("short77", f"DB_{secrets.token_hex(4)}")
        with self.assertLogs("keyroll", logging.WARNING) as logs:
            for _ in range(3):
                check_agent_output_for_leaks("a short77 text", known=[secret])
        self.assertEqual(len(logs.output), 1)
        self.assertIn(secret.name, logs.output[0])
        self.assertNotIn("short77", logs.output[0])

    def test_that_warning_may_go_through_the_filter_itself(self) -> None:
        secret = Rotating(None, f"DB_{secrets.token_hex(4)}")
        logger, seen = logging.getLogger("keyroll"), Lines()
        seen.addFilter(RedactingFilter(known=[secret]))
        secret.now = "short77"
        logger.addHandler(seen)
        self.addCleanup(logger.removeHandler, seen)
        logger.warning("of %s", "ada")
        self.assertEqual(len(seen.lines), 2)


class SafeLog(WithLogger):
    def test_the_message_is_formatted_redacted_and_logged_at_its_level(self) -> None:
        safe_log("key %s and %s", self.key, self.word, level=logging.ERROR, logger=self.logger, known=[self.word])
        safe_log("100% of it", logger=self.logger)
        safe_log("%(who)s", {"who": "ada"}, logger=self.logger)
        safe_log({"a": self.key}, logger=self.logger)
        safe_log("too few %s %s", self.key, logger=self.logger)
        self.assertEqual(self.seen.lines[0], "ERROR key [redacted:gitlab-token] and [redacted:known-value]")
        self.assertEqual(self.seen.lines[1:3], ["INFO 100% of it", "INFO ada"])
        self.assertNotIn(self.key, self.seen.everything())
        self.assertEqual(self.seen.records[0].filename, "test_guard.py")

    def test_a_message_that_cannot_be_made_a_text_does_not_raise(self) -> None:
        class Bad:
            def __str__(self) -> str:
                raise KeyError("x")

        safe_log(Bad(), logger=self.logger)
        self.assertEqual(self.seen.lines, [f"INFO {guard.UNCHECKED}"])


class TheCheck(unittest.TestCase):
    def test_structures_are_walked_and_come_back_redacted(self) -> None:
        key, word = made.of_rule("gitlab-token"), made.password()
        output = {
            "messages": [{"content": f"é {key}", "n": 1}, (b"x " + key.encode(), None, True, 1.5)],
            key: {"password": word},
        }
        result = check_agent_output_for_leaks(output)
        self.assertTrue(result["leaked"])
        self.assertEqual(result["redacted"], {
            "messages": [
                {"content": "é [redacted:gitlab-token]", "n": 1}, (b"x [redacted:gitlab-token]", None, True, 1.5),
            ],
            "[redacted:gitlab-token]": {"password": "[redacted:named-secret]"},
        })
        self.assertEqual([(one["position"], one["path"]) for one in result["findings"]], [
            (2, "$.messages[0].content"), (2, "$.messages[1][0]"), (0, "$"), (0, "$.[redacted:gitlab-token].password"),
        ])
        for value in (key, word):
            self.assertNotIn(value, repr(result))

    def test_an_output_without_a_secret_is_the_same(self) -> None:
        output: Any
        for output in ("Bearer of bad news", b"\xff", {"password": "changeme", "a": []}, [], None, 3):
            result = check_agent_output_for_leaks(output)
            self.assertEqual((result["leaked"], result["findings"], result["redacted"]), (False, [], output))

    def test_the_name_of_a_member_counts_as_the_word_before_its_value(self) -> None:
        value = made.of_rule("ai21-api-key")
        found = check_agent_output_for_leaks({"ai21_api_key": value})
        self.assertEqual(found["findings"][0]["type"], "AI21 API key")
        self.assertFalse(check_agent_output_for_leaks({"checksum": value})["leaked"])

    def test_two_keys_with_secrets_stay_two(self) -> None:
        one, two = made.of_rule("gitlab-token"), made.of_rule("gitlab-token")
        redacted = check_agent_output_for_leaks({one: 1, two: 2})["redacted"]
        self.assertEqual(sorted(redacted.values()), [1, 2])

    def test_known_values_are_found(self) -> None:
        word = "not of any form"
        result = check_agent_output_for_leaks(f"a {word} b", known=[word])
        self.assertEqual((result["leaked"], result["redacted"]), (True, "a [redacted:known-value] b"))

    def test_what_cannot_be_checked_is_not_given_back(self) -> None:
        deep: Any = made.of_rule("gitlab-token")
        for _ in range(500):
            deep = [deep]
        result = check_agent_output_for_leaks(deep)
        self.assertTrue(result["leaked"])
        self.assertIn("withheld", repr(result["redacted"]))
        for other in (object(), {"a": object()}, [lambda: None]):
            with self.assertRaises(TypeError):
                check_agent_output_for_leaks(other)

    def test_data_within_itself_is_checked_once(self) -> None:
        key = made.of_rule("gitlab-token")
        circle: dict[str, Any] = {"a": key, "b": [3]}
        circle["b"].append(circle)
        found = check_agent_output_for_leaks(circle)
        self.assertEqual(found["redacted"], {"a": "[redacted:gitlab-token]", "b": [3, "[repeated]"]})
        self.assertEqual([one["path"] for one in found["findings"]], ["$.a"])

    def test_data_that_is_shared_is_checked_once(self) -> None:
        shared: Any = [made.of_rule("gitlab-token")]
        # Without care this is looked at 2 ** 60 times.
        for depth in range(60):
            shared = {"a": shared, "b": shared} if depth % 2 else [shared, shared]
        found = check_agent_output_for_leaks(shared)
        # Once under each name.
        self.assertLessEqual(len(found["findings"]), 2)
        inner = found["redacted"]
        while not isinstance(inner, str):
            inner = inner["b"] if isinstance(inner, dict) else inner[-1]
        self.assertEqual(inner, "[redacted:gitlab-token]")

    def test_a_shared_list_is_read_under_each_name(self) -> None:
        word = made.password()
        shared = [word]
        found = check_agent_output_for_leaks({"checksum": shared, "password": shared})
        self.assertEqual(found["redacted"], {"checksum": [word], "password": ["[redacted:named-secret]"]})

    def test_dates_numbers_uuids_and_the_like_are_given_back_as_they_are(self) -> None:
        class Colour(enum.Enum):
            RED = "red"

        class Named(str):
            pass

        plain = (
            datetime.datetime.now(datetime.timezone.utc), datetime.date.today(), datetime.timedelta(1), uuid.uuid4(),
            decimal.Decimal("1.5"), fractions.Fraction(1, 3), 1j, Colour.RED, None, True, 2.5, Named("x" * 9),
        )
        result = check_agent_output_for_leaks({"token": plain})
        self.assertFalse(result["leaked"])
        for one, two in zip(result["redacted"]["token"], plain):
            self.assertIs(one, two)

    def test_sets_come_back_as_lists_and_bytes_of_any_kind_are_checked(self) -> None:
        key = made.of_rule("gitlab-token")
        result = check_agent_output_for_leaks({"a": {key, 3}, "b": frozenset([key]), frozenset([key]): 1})["redacted"]
        self.assertCountEqual(result["a"], [3, "[redacted:gitlab-token]"])
        self.assertEqual(result["b"], ("[redacted:gitlab-token]",))
        self.assertIn(("[redacted:gitlab-token]",), result)
        for kind in (bytearray, memoryview):
            self.assertEqual(check_agent_output_for_leaks(kind(key.encode()))["redacted"], b"[redacted:gitlab-token]")

    def test_the_positions_of_many_findings_are_right(self) -> None:
        keys = [made.of_rule("gitlab-token") for _ in range(3)]
        text = "é ".join(["", *keys, ""])
        places = [one["position"] for one in check_agent_output_for_leaks(text)["findings"]]
        self.assertEqual(places, [text.index(key) for key in keys])


class AStream(unittest.TestCase):
    def through(self, pieces: list[Any], known: tuple[object, ...] = ()) -> Any:
        out: list[Any] = []
        with RedactingStream(out.append, known=known) as stream:
            for piece in pieces:
                stream.write(piece)
        return (b"" if pieces and isinstance(pieces[0], bytes) else "").join(out)

    def test_the_output_is_the_same_however_the_input_is_cut(self) -> None:
        key, word = made.of_rule("gitlab-token"), made.password()
        zept = made.of_rule("zeptomail-token")
        for text, known in (
            (f"a {key}, é{key} and Authorization: Bearer {word}\n{key}", ()),
            (f"x\n{made.pem()}\nand {made.pem()[:120]} and {key}", ()),
            (f"send with {zept} or Zoho-enczapikey no", ()),
            (f"postgres://app:{word}@db/x not postgres://app:{word}@db.example.com/x", ()),
            (f"my {HORSE[:13]} and {HORSE}, {HORSE[:-5]}", (HORSE,)),
        ):
            whole = self.through([text], known)
            self.assertEqual(whole.count("[redacted:"), redact_secrets(text).count("[redacted:") + len(known))
            self.assertEqual(self.through(list(text), known), whole)
            for cut in range(1, len(text)):
                self.assertEqual(self.through([text[:cut], text[cut:]], known), whole)

    def test_the_same_holds_for_words_that_do_not_end(self) -> None:
        draws = random.Random(secrets.randbits(32))
        key = made.of_rule("gitlab-token")
        block = made.pem().replace("\n", "\\n")
        text = ",".join(["é-" * 4500, key, "x-" * 9000, block, key, "y-" * 3000, f" end {key}", "z-" * 9000])
        whole = self.through([text])
        self.assertNotIn(key, whole)
        self.assertEqual(whole, redact_secrets(text))
        for count in (1, 3, 10, 100, 1000):
            self.assertEqual(self.through(made.pieces(text, count, draws)), whole)
        encoded = [piece.encode() for piece in made.pieces(text, 50, draws)]
        self.assertEqual(self.through(encoded), whole.encode())

    def test_values_that_overlap_at_the_end_of_a_cell_are_redacted_whole(self) -> None:
        # Longer than what is read behind a cell, so that the second one ends outside.
        one = f"{secrets.token_hex(1800)}-middle-of-both-"
        two = f"-middle-of-both-{secrets.token_hex(3000)}"
        three = f"{two[-9:]}{secrets.token_hex(3000)}"
        for before in (4000, 4095, 4096 - len(one) + 8, 4100):
            text = f"{'x-' * (before // 2)}{one}{two[16:]}{three[9:]}{',y' * 9000}"
            whole = self.through([text], (one, two, three))
            for part in (two[16:], three[9:]):
                self.assertNotIn(part[-40:], whole)
                self.assertNotIn(part[:40], whole)
            self.assertTrue(whole.startswith("x-x-") and whole.endswith(",y,y"))
            pieces = [text[at : at + 100] for at in range(0, len(text), 100)]
            self.assertEqual(self.through(pieces, (one, two, three)), whole)

    def test_a_key_within_a_word_that_does_not_end_is_one(self) -> None:
        key = made.of_rule("anthropic-api-key")
        for before in range(4096 - len(key) - 5, 4096 + 5, 7):
            text = f"{'-' * before}{key}{'-' * 20_000}"
            self.assertEqual(self.through([text]), redact_secrets(text))

    def test_a_long_private_key_within_such_a_word_is_one(self) -> None:
        word = "RSA PRIVATE " + "KEY"
        body = "\\n".join(f"MI{secrets.token_hex(31)}" for _ in range(90))
        text = f"{'-,' * 1900}-----BEGIN {word}-----\\nMIIE{body}\\n-----END {word}-----{',x' * 12_000}"
        self.assertGreater(len(body), 5800)
        whole = self.through([text])
        self.assertEqual(whole, redact_secrets(text))
        self.assertIn("[redacted:rsa-private-key]", whole)
        self.assertEqual(self.through([text[at : at + 500] for at in range(0, len(text), 500)]), whole)
        # In base64 it has no spaces at all.
        block = made.of_rule("private-key-base64") + secrets.token_hex(3500)
        text = f"{'-,' * 1900}{block}{',x' * 12_000}"
        self.assertEqual(self.through([text]), f"{'-,' * 1900}[redacted:private-key-base64]{',x' * 12_000}")

    def test_what_may_be_half_a_secret_is_held_and_words_are_not(self) -> None:
        out: list[str] = []
        stream = RedactingStream(out.append)
        key = made.of_rule("gitlab-token")
        stream.write("Hello wor")
        self.assertEqual(out, ["Hello "])
        stream.write(f"ld and {key[:-3]}")
        self.assertEqual("".join(out), "Hello world and ")
        stream.flush()
        self.assertEqual("".join(out), "Hello world and ")
        stream.write(key[-3:])
        stream.flush(final=True)
        self.assertEqual("".join(out), "Hello world and [redacted:gitlab-token]")
        self.assertEqual(stream.found, [("gitlab-token", "GitLab token")])
        stream.write("a")
        stream.close()
        stream.close()
        self.assertEqual("".join(out), "Hello world and [redacted:gitlab-token]a")
        with self.assertRaises(ValueError):
            stream.write("b")

    def test_not_more_is_held_than_is_said(self) -> None:
        block = "-----BEGIN " + "PRIVATE KEY-----,"
        for part, most in (("x-", 8 * 1024 + 512), ("A1", 8 * 1024 + 512), (block, 24 * 1024)):
            given: list[str] = []
            stream, size = RedactingStream(given.append), 0
            for _ in range(60_000 // len(part)):
                size += stream.write(part)
                self.assertLessEqual(size - sum(map(len, given)), most + 4096, part)

    def test_a_secret_that_rotates_in_mid_stream_is_found_in_both_values(self) -> None:
        out: list[str] = []
        secret = Rotating(secrets.token_hex(8), "DB")
        stream = RedactingStream(out.append, known=[secret])
        first = secret.get()
        stream.write(f"a {first} ")
        secret.now = secrets.token_hex(8)
        stream.write(f"b {first} c {secret.get()} ")
        stream.close()
        self.assertEqual("".join(out), "a [redacted:DB] b [redacted:DB] c [redacted:DB] ")

    def test_text_and_bytes_are_not_mixed(self) -> None:
        stream = RedactingStream(lambda text: None)
        stream.write("a")
        for other in (b"b", 1, None):
            with self.assertRaises(TypeError):
                stream.write(other)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            RedactingStream(3)

    def test_an_iterable_is_redacted_also_an_asynchronous_one(self) -> None:
        key = made.of_rule("gitlab-token")
        pieces = ["a ", key[:9], key[9:], " b"]

        async def source() -> AsyncIterator[str]:
            for piece in pieces:
                yield piece

        async def collected() -> list[str]:
            return [piece async for piece in redact_stream(source())]

        self.assertEqual("".join(redact_stream(pieces)), "a [redacted:gitlab-token] b")
        self.assertEqual("".join(asyncio.run(collected())), "a [redacted:gitlab-token] b")

    def test_the_rest_comes_before_the_error_of_the_source(self) -> None:
        key = made.of_rule("gitlab-token")

        def source() -> Iterator[str]:
            yield f"a {key}"
            raise OSError("gone")

        given: list[str] = []
        with self.assertRaises(OSError):
            for piece in redact_stream(source()):
                given.append(piece)
        self.assertEqual("".join(given), "a [redacted:gitlab-token]")


class TheDecorator(unittest.TestCase):
    def setUp(self) -> None:
        self.key = made.of_rule("gitlab-token")
        self.told: list[Any] = []

    def test_every_kind_of_function_gives_redacted_output(self) -> None:
        @agent_output_middleware
        def plain() -> Any:
            """Says it."""
            return {"a": self.key}

        @agent_output_middleware(on_leak=self.told.append)
        async def later() -> str:
            return f"a {self.key}"

        @agent_output_middleware
        def pieces() -> Iterator[Any]:
            yield from ("a ", self.key[:8], self.key[8:], {"event": self.key}, "end")

        @agent_output_middleware(on_leak=self.told.append)
        async def apieces() -> AsyncIterator[str]:
            yield self.key[:8]
            yield self.key[8:]

        @agent_output_middleware
        def iterator() -> Any:
            return iter([self.key])

        async def all_of() -> list[str]:
            return [piece async for piece in apieces()]

        self.assertEqual((plain(), plain.__doc__), ({"a": "[redacted:gitlab-token]"}, "Says it."))
        self.assertEqual(asyncio.run(later()), "a [redacted:gitlab-token]")
        self.assertEqual(list(pieces()), ["a ", "[redacted:gitlab-token]", {"event": "[redacted:gitlab-token]"}, "end"])
        self.assertEqual(asyncio.run(all_of()), ["[redacted:gitlab-token]"])
        self.assertEqual(list(iterator()), ["[redacted:gitlab-token]"])
        self.assertEqual([[one["type"] for one in findings] for findings in self.told], [["GitLab token"]] * 2)
        self.assertNotIn(self.key, repr(self.told))

    def test_errors_of_the_callback_do_not_stop_the_answer(self) -> None:
        def fails(findings: object) -> None:
            raise RuntimeError(self.key)

        @agent_output_middleware(on_leak=fails)
        def plain() -> str:
            return self.key

        with self.assertLogs("keyroll", logging.WARNING) as logs:
            self.assertEqual(plain(), "[redacted:gitlab-token]")
        self.assertNotIn(self.key, repr(logs.output))

    def test_a_response_is_an_error_that_names_the_way_for_apps(self) -> None:
        class Response:
            def __init__(self) -> None:
                self.status_code, self.headers, self.body = 200, {}, b""

        with self.assertRaisesRegex(TypeError, r"wrap the ASGI app instead, app = agent_output_middleware\(app\)"):
            agent_output_middleware(lambda: Response())()

    def test_an_output_that_cannot_be_checked_is_an_error(self) -> None:
        with self.assertRaises(TypeError):
            agent_output_middleware(lambda: object())()
        other: Any
        for other in (3, "text", Rotating):
            with self.assertRaises(TypeError):
                agent_output_middleware(other)

    def test_an_app_is_known_by_its_three_parameters(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None: ...

        class App:
            async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

        async def other(scope: Any, receive: Any, reply: Any) -> None: ...

        self.assertIsInstance(agent_output_middleware(app), AgentOutputMiddleware)
        self.assertIsInstance(agent_output_middleware(App()), AgentOutputMiddleware)
        self.assertNotIsInstance(agent_output_middleware(other), AgentOutputMiddleware)


class TheApp(unittest.TestCase):
    def answer(
        self,
        bodies: list[bytes],
        headers: dict[str, str],
        *,
        method: str = "GET",
        status: int = 200,
        asked: tuple[tuple[bytes, bytes], ...] = (),
        extra: tuple[Any, ...] = (),
        **options: Any,
    ) -> tuple[dict[str, str], bytes, list[Any]]:
        """What a client gets of an app that sends this."""
        sent: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            self.scope = scope
            raw = [(name.encode(), value.encode()) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": status, "headers": raw})
            for at, body in enumerate(bodies):
                await send({"type": "http.response.body", "body": body, "more_body": at + 1 < len(bodies)})
            for message in extra:
                await send(message)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "extensions": {"http.response.pathsend": {}, "tls": {}}}
        scope["headers"] = list(asked)
        asyncio.run(AgentOutputMiddleware(app, **options)(scope, None, send))
        start = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return start, b"".join(one.get("body", b"") for one in sent[1:]), sent

    def setUp(self) -> None:
        self.key = made.of_rule("gitlab-token")
        self.raw = self.key.encode()

    def test_a_whole_body_is_redacted_and_its_length_is_right(self) -> None:
        for kind in ("application/json", "text/plain; charset=utf-8", "application/problem+json", ""):
            text = json.dumps({"a": self.key}).encode()
            headers = {"content-length": str(len(text)), **({"Content-Type": kind} if kind else {})}
            start, body, _ = self.answer([text], headers)
            self.assertEqual(json.loads(body), {"a": "[redacted:gitlab-token]"})
            self.assertEqual(start["content-length"], str(len(body)))

    def test_a_body_in_pieces_is_redacted_across_them(self) -> None:
        told: list[Any] = []
        pieces = [b"one two ", self.raw[:9], self.raw[9:] + b" three ", b"four"]
        size = str(sum(map(len, pieces)))
        start, body, sent = self.answer(
            pieces, {"content-type": "text/plain", "content-length": size}, on_leak=told.append
        )
        self.assertEqual(body, b"one two [redacted:gitlab-token] three four")
        self.assertNotIn("content-length", start)
        self.assertEqual(sent[1]["body"], b"one two ", "what is decided does not wait")
        self.assertEqual([message.get("more_body") for message in sent[1:]][-1], False)
        self.assertEqual(len(told), 1)

    def test_events_are_passed_on_when_they_are_complete(self) -> None:
        event = b'data: {"a": "' + self.raw + b'"}\n\n'
        _, body, sent = self.answer([event, event, b""], {"content-type": "text/event-stream"})
        self.assertEqual(len(sent), 4)
        self.assertEqual(body.count(b'data: {"a": "[redacted:gitlab-token]"}\n\n'), 2)

    def test_what_cannot_be_read_is_passed_on_as_it_is(self) -> None:
        for headers in (
            {"content-type": "application/json", "content-encoding": "gzip"},
            {"content-type": "image/png"},
            {"content-type": "text/plain; charset=UTF-16"},
        ):
            headers = {**headers, "content-length": str(len(self.raw))}
            self.assertEqual(self.answer([self.raw], headers)[:2], (headers, self.raw))
        self.assertEqual(self.answer([self.raw], {"content-encoding": "identity"})[1], b"[redacted:gitlab-token]")

    def test_headers_are_redacted_except_those_with_the_clients_own_credentials(self) -> None:
        start, _, sent = self.answer(
            [b""], {"x-debug": f"of {self.key}", "set-cookie": f"s={self.key}"},
            extra=({"type": "http.response.trailers", "headers": [(b"x-end", self.raw)]},),
        )
        self.assertEqual(start, {"x-debug": "of [redacted:gitlab-token]", "set-cookie": f"s={self.key}"})
        self.assertEqual(sent[-1]["headers"], [(b"x-end", b"[redacted:gitlab-token]")])

    def test_no_answer_passes_by(self) -> None:
        self.answer([b"x"], {"content-type": "text/plain"})
        self.assertEqual(list(self.scope["extensions"]), ["tls"])

    def test_the_answer_to_head_keeps_its_length(self) -> None:
        start, body, _ = self.answer([b""], {"content-type": "text/plain", "content-length": "17"}, method="HEAD")
        self.assertEqual((start["content-length"], body), ("17", b""))

    def test_a_part_of_a_body_is_neither_asked_for_nor_offered(self) -> None:
        asked = ((b"range", b"bytes=9-"), (b"If-Range", b"x"), (b"accept", b"*/*"))
        start, _, _ = self.answer([b"x"], {"content-type": "text/plain", "Accept-Ranges": "bytes"}, asked=asked)
        self.assertEqual(self.scope["headers"], [(b"accept", b"*/*")])
        self.assertEqual(list(start), ["content-type"])

    def test_answers_without_a_body_keep_their_length_and_get_none(self) -> None:
        for status in (204, 304):
            headers = {"content-type": "text/plain", "content-length": "17"}
            start, body, _ = self.answer([self.raw], headers, status=status)
            self.assertEqual((start["content-length"], body), ("17", b""))
        self.assertEqual(self.answer([self.raw], {"content-type": "text/plain"}, method="HEAD")[1], b"")

    def test_bodies_may_be_any_bytes(self) -> None:
        bodies: Any = [memoryview(self.raw), bytearray(b" end")]
        self.assertEqual(self.answer(bodies, {"content-type": "text/plain"})[1], b"[redacted:gitlab-token] end")

    def test_the_answer_that_refuses_a_websocket_is_redacted(self) -> None:
        sent: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"x-of", self.raw), (b"content-type", b"text/plain"), (b"content-length", b"26")]
            await send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": self.raw[:5], "more_body": True})
            await send({"type": "websocket.http.response.body", "body": self.raw[5:]})

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(agent_output_middleware(app)({"type": "websocket"}, None, send))
        self.assertEqual([one["type"].rpartition(".")[2] for one in sent], ["start", "body"])
        self.assertNotIn(self.key, repr(sent))
        self.assertEqual(sent[1]["body"], b"[redacted:gitlab-token]")
        self.assertNotIn(b"content-length", dict(sent[0]["headers"]))

    def test_bodies_of_text_in_other_types_are_redacted(self) -> None:
        word = f"p&ss/{secrets.token_hex(6)}"
        lines, json_word = f"{json.dumps({'a': word})}\n[]\n", json.dumps(word)
        texts = {
            "multipart/mixed; boundary=-": f"---\r\ncontent-type: application/json\r\n\r\n{json_word}\r\n-----\r\n",
            "application/x-www-form-urlencoded": f"a=1&b={quote(word, safe='')}&c=2",
        }
        for kind in (
            "jsonlines", "x-jsonlines", "x-ndjson", "ndjson", "json-seq", "jsonl", "x-json-stream", "x-ldjson", "json5",
            "stream+json", "vnd.api+json; charset=utf-8", "geo+json-seq",
        ):
            texts[f"application/{kind}"] = lines
        for kind in (
            "multipart/form-data; boundary=a", "Multipart/Related", "message/http", "message/rfc822",
            "application/http", "application/sql", "application/x-sh", "application/csv", "application/ecmascript",
            "application/rtf",
            "application/x-javascript", "application/xml-dtd", "application/x-toml", "application/logfmt",
        ):
            texts[kind] = f"a {word} b, and more"
        for kind, text in texts.items():
            _, body, _ = self.answer([text[:20].encode(), text[20:].encode()], {"content-type": kind}, known=[word])
            self.assertIn(b"[redacted:known-value]", body, kind)
            self.assertNotIn(word[-12:].encode(), body, kind)
        for kind in ("image/png", "application/sha", "application/zip", "multipart/x-mixed-replace; boundary=a"):
            self.assertEqual(self.answer([word.encode()], {"content-type": kind}, known=[word])[1], word.encode(), kind)

    def test_what_opens_and_closes_a_websocket_is_redacted(self) -> None:
        word, long = secrets.token_hex(6), Rotating(secrets.token_hex(6), "N" * 60)
        raw = word.encode()
        messages: list[Any] = [
            {"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-of", raw), (b"Set-Cookie", raw)]},
            {"type": "websocket.accept"},
            {"type": "websocket.accept", "headers": ()},
            {"type": "websocket.close", "code": 1011, "reason": f"no {word}"},
            {"type": "websocket.close", "reason": f"{'é' * 40}{long.now} {long.now}"},
            {"type": "websocket.close", "reason": None},
            {"type": "websocket.close"},
        ]
        sent: list[Any] = []
        told: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for message in messages:
                await send(message)

        async def send(message: Any) -> None:
            sent.append(message)

        wrapped = agent_output_middleware(app, known=[word, long], on_leak=told.append)
        asyncio.run(wrapped({"type": "websocket"}, None, send))
        marker = "[redacted:known-value]"
        self.assertEqual(sent[0]["headers"], [(b"x-of", marker.encode()), (b"Set-Cookie", raw)])
        self.assertEqual(sent[0]["subprotocol"], "chat")
        self.assertEqual((sent[1], sent[2], sent[5], sent[6]), (messages[1], messages[2], messages[5], messages[6]))
        self.assertEqual(sent[3], {"type": "websocket.close", "code": 1011, "reason": f"no {marker}"})
        # A frame that closes has no place for more.
        self.assertLessEqual(len(sent[4]["reason"].encode()), 123)
        self.assertNotIn(long.now, sent[4]["reason"])
        self.assertEqual(len(told), 3)
        self.assertNotIn(word, repr(told))

    def test_websockets_are_redacted_and_other_scopes_are_not_touched(self) -> None:
        sent: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.send", "text": f"a {self.key}"})
            await send({"type": "websocket.send", "bytes": self.raw, "text": None})

        async def send(message: Any) -> None:
            sent.append(message)

        wrapped = agent_output_middleware(app)
        asyncio.run(wrapped({"type": "websocket"}, None, send))
        self.assertEqual((sent[0]["text"], sent[1]["bytes"]), ("a [redacted:gitlab-token]", b"[redacted:gitlab-token]"))
        asyncio.run(wrapped({"type": "lifespan"}, None, send))
        self.assertEqual(sent[2]["text"], f"a {self.key}")


if __name__ == "__main__":
    unittest.main()
