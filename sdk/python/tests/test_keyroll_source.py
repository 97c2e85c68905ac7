"""The source that is keyroll's own socket: values that come by themselves, and what the process says of them."""

from __future__ import annotations

import gc
import json
import logging
import os
import pickle
import resource
import socket
import sys
import tempfile
import threading
import traceback
import unittest
from pathlib import Path
from typing import Any, Callable
from unittest import mock

from keyroll import RotatableSecret, SecretUnavailable, SourceError
from keyroll import _link, _listener, _reports, _speaker, _wire
from keyroll.sources import _keyroll, fetch_from_keyroll
from tests.support import Records, a_value, run_program, until
from tests.values_socket import ValuesSocket, error, given

HOUR = 3600.0
NAME = "anthropic"


class Refused(Exception):
    status_code = 401


@unittest.skipUnless(hasattr(socket, "SO_PEERCRED"), "needs SO_PEERCRED")
class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.server = ValuesSocket()
        self.addCleanup(self.server.end)
        self.first, self.second, self.third = a_value("a"), a_value("b"), a_value("c")
        self.server.deliver(NAME, 1, self.first)
        for patch in (
            mock.patch.object(_link, "RETRY_SECONDS_FIRST", 0.01), mock.patch.object(_link, "RETRY_SECONDS_MAX", 0.02),
            mock.patch.object(_listener, "GRACE_SECONDS", 0.0), mock.patch.object(_reports, "PACED_SECONDS_MIN", 0.1),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def secret(
        self, name: str = NAME, seconds: float = HOUR, field: str | None = None, **options: Any
    ) -> RotatableSecret:
        source = fetch_from_keyroll(name, socket=self.server.path, field=field)
        key = RotatableSecret("TEST_KEY", source, seconds, **options)
        self.addCleanup(key.stop)
        return key

    def waiting(self) -> None:
        """Until a request waits at the server: from then on a value is pushed."""
        until(lambda: ("loaded", 1) in self.server.said() and len(self.server.connections) >= 2)

    def reason(self, fetch: Callable[[], object]) -> str:
        with self.assertRaises(SourceError) as caught:
            fetch()
        return str(caught.exception)


class Values(Case):
    def test_the_value_is_there_on_the_next_line_and_loaded_is_said_once(self) -> None:
        key = self.secret()
        self.assertEqual((key.value, key.version), (self.first, "1"))
        self.waiting()
        key.refresh()
        key.refresh()
        key.used("1", True)
        until(lambda: ("used", 1, True, "main") in self.server.said())
        self.assertEqual(self.server.said("loaded"), [("loaded", 1)])

    def test_a_new_version_is_in_use_when_loaded_is_said(self) -> None:
        key, seen = self.secret(), []

        def instead(kind: str, body: dict[str, Any]) -> None:
            if kind == "loaded":
                seen.append((body["version"], key.value))

        self.waiting()
        self.server.instead = instead
        self.server.deliver(NAME, 2, self.second)
        until(lambda: key.version == "2")
        until(lambda: seen)
        self.assertEqual(seen, [(2, self.second)])

    def test_loaded_is_not_said_before_the_value_can_be_read(self) -> None:
        key = self.secret()
        self.waiting()
        reports = _listener.listener._secrets[(self.server.path, NAME)].reports
        publish, before = RotatableSecret._publish, []

        # The value comes in the thread that reports: what is to be said waits there until it is back.
        def slow(its: RotatableSecret, value: str) -> None:
            before.append((key.value, [word.kind for word in list(reports._words)]))
            publish(its, value)

        with mock.patch.object(RotatableSecret, "_publish", slow):
            self.server.deliver(NAME, 2, self.second)
            until(lambda: ("loaded", 2) in self.server.said())
        self.assertEqual(before, [(self.first, [])])

    def test_callbacks_get_what_was_pushed(self) -> None:
        told: list[str] = []
        self.secret(on_rotation=told.append)
        self.waiting()
        self.server.deliver(NAME, 2, self.second)
        until(lambda: told == [self.second])

    def test_a_rollback_is_followed_and_said(self) -> None:
        key = self.secret()
        self.waiting()
        for version, value in ((2, self.second), (1, self.first), (2, self.second)):
            before = len(self.server.said("loaded"))
            self.server.deliver(NAME, version, value)
            until(lambda: key.value == value)
            until(lambda: len(self.server.said("loaded")) > before)
        self.assertEqual(self.server.said("loaded"), [("loaded", 1), ("loaded", 2), ("loaded", 1), ("loaded", 2)])

    def test_a_field_is_picked(self) -> None:
        self.server.deliver("db", 3, self.first, user="app", port=5)
        source = fetch_from_keyroll("db", socket=self.server.path, field="user")
        self.assertEqual(source().value, "app")
        several = fetch_from_keyroll("db", socket=self.server.path)
        self.assertEqual(self.reason(several), "keyroll, db: the secret has several fields: give field")
        for field in ("port", "nothing"):
            source = fetch_from_keyroll("db", socket=self.server.path, field=field)
            self.assertEqual(self.reason(source), f"keyroll, db: the answer has no text field {field}")

    def test_what_is_no_value_never_replaces_a_good_one_and_is_not_loaded(self) -> None:
        key = self.secret()
        self.waiting()
        with Records() as seen:
            for version, wrong in enumerate(("", "   ", "changeme", "<html>x</html>", 7, None, ["x"], "a\x00b"), 2):
                self.server.deliver(NAME, version, wrong)
                until(lambda: ("get", version) in self.server.said())
                self.assertFalse(key.refresh())
                self.assertEqual((key.value, key.version), (self.first, "1"))
            self.server.deliver(NAME, 20, self.second)
            until(lambda: key.version == "20")
        self.assertEqual(len(seen.texts(logging.WARNING)), 1)
        until(lambda: ("loaded", 20) in self.server.said())
        self.assertEqual(self.server.said("loaded"), [("loaded", 1), ("loaded", 20)])

    def test_loaded_waits_for_every_secret_of_the_process_that_holds_it(self) -> None:
        self.server.deliver("db", 1, "p-" + self.first, user="app")
        keys = [self.secret("db", field=field) for field in ("value", "user")]
        until(lambda: self.server.said("loaded") == [("loaded", 1)])
        # The second one cannot take it: the process still uses the version before.
        self.server.deliver("db", 2, "p-" + self.second, user="changeme")
        with Records():
            until(lambda: keys[0].version == "2")
            keys[0].used("2", True)
            keys[0].used("1", True, "mark")
            until(lambda: ("used", 1, True, "mark") in self.server.said())
            self.assertEqual(self.server.said("loaded"), [("loaded", 1)])
            self.assertNotIn(("used", 2, True, "main"), self.server.said())
        keys[1].stop()
        until(lambda: ("used", 2, True, "main") in self.server.said())
        self.assertEqual(self.server.said("loaded", "bye"), [("loaded", 1), ("loaded", 2)])

    def test_a_secret_can_come_later(self) -> None:
        self.server.stop()
        with Records():
            key = self.secret()
            with self.assertRaises(SecretUnavailable):
                _ = key.value
            self.server.start()
            until(lambda: key.version == "1")
        until(lambda: ("loaded", 1) in self.server.said())

    def test_one_thread_waits_for_all_secrets(self) -> None:
        for number in range(12):
            self.server.deliver(f"s{number}", 1, a_value())
        keys = [self.secret(f"s{number}") for number in range(12)]
        until(lambda: len(self.server.said("loaded")) == 12)
        until(lambda: len(self.server.connections) <= 13)  # and one for the reports of all
        for number, key in enumerate(keys):
            self.server.deliver(f"s{number}", 2, a_value())
        until(lambda: all(key.version == "2" for key in keys))
        names = [thread.name for thread in threading.enumerate()]
        self.assertEqual(names.count("keyroll-socket"), 1)


class Reports(Case):
    def test_the_order_is_get_loaded_used(self) -> None:
        key = self.secret()
        key.used("1", True)
        key.used("1", False, path="fallback")
        until(lambda: ("used", 1, False, "fallback") in self.server.said())
        self.assertEqual(
            self.server.said()[:4],
            [("get", 1), ("loaded", 1), ("used", 1, True, "main"), ("used", 1, False, "fallback")],
        )

    def test_a_use_before_loaded_waits_for_it(self) -> None:
        reports = _reports.Reports()
        reports.used(1, True, "main")
        self.assertIsNone(reports.next(0.0)[0])
        reports.given(1)
        reports.loaded(1)
        self.assertEqual([word.kind for word in reports._words], ["loaded", "used"])

    def test_what_was_said_is_not_said_again(self) -> None:
        key = self.secret()
        for number in range(51):
            key.used("1", True)
            key.used("1", True, "fallback")
            if not number:
                until(lambda: len(self.server.said("used")) == 2)
        key.used("1", True, "mark")
        until(lambda: ("used", 1, True, "mark") in self.server.said())
        self.assertEqual(
            self.server.said("used"),
            [("used", 1, True, "main"), ("used", 1, True, "fallback"), ("used", 1, True, "mark")],
        )
        self.assertEqual(key.stats["1"], {"ok": 103, "refused": 0})

    def test_an_accepted_use_after_another_word_is_news(self) -> None:
        key = self.secret()
        for number, ok in enumerate((True, False, True), 1):
            key.used("1", ok)
            until(lambda: len(self.server.said("used")) == number)
        self.assertEqual([word[2] for word in self.server.said("used")], [True, False, True])

    def test_a_refusal_is_said_once_a_second_for_each_path(self) -> None:
        reports, said = _reports.Reports(), []
        reports.given(1)
        reports.loaded(1)
        with mock.patch.object(_reports, "PACED_SECONDS_MIN", 1.0):
            for tenth in range(30):
                now = 100 + tenth / 10
                reports.used(1, False, "main")
                reports.used(1, False, "fallback")
                while True:
                    word, _ = reports.next(now)
                    if word is None:
                        break
                    reports.sent(word, now)
                    reports.done(word)
                    said.append((word.kind, word.path, now))
        times = [now for kind, path, now in said if path == "main"]
        self.assertEqual(times, [100.0, 101.0, 102.0])
        self.assertEqual([now for kind, path, now in said if path == "fallback"], times)

    def test_requests_that_alternate_between_two_versions_are_few_reports(self) -> None:
        reports, said = _reports.Reports(), 0
        for version in (1, 2):
            reports.given(version)
            reports.loaded(version)
        with mock.patch.object(_reports, "PACED_SECONDS_MIN", 1.0):
            for number in range(1000):
                now = 100 + number / 1000
                reports.used(1 + number % 2, True, "main")
                word, _ = reports.next(now)
                if word is not None:
                    reports.sent(word, now)
                    reports.done(word)
                    said += 1
            self.assertLessEqual(said, 2 + 2 + 1)
            self.assertLessEqual(len(reports._words), 3)
            last = [word.version for word in reports._words][-1]
        self.assertEqual(last, 2)

    def test_what_waits_is_bounded_and_nobody_is_held_up(self) -> None:
        reports = _reports.Reports()
        for number in range(2000):
            reports.used(1, True, f"early{number}")
        self.assertLessEqual(len(reports._early), _reports.WORDS_WAITING_MAX)
        reports.loaded(1)
        for number in range(2000):
            reports.used(1, number % 2 == 0, f"p{number}")
        self.assertLessEqual(len(reports._words), _reports.WORDS_WAITING_MAX)
        self.assertLessEqual(len(reports._known), _reports.REMEMBERED_MAX)
        go = threading.Event()
        self.addCleanup(go.set)
        key = self.secret()
        self.waiting()

        def silent(kind: str, body: dict[str, Any]) -> None:
            go.wait(20)

        self.server.instead = silent
        for number in range(1000):
            self.assertTrue(key.used("1", True, f"p{number}"))
        self.assertFalse(go.is_set())
        with mock.patch.object(_listener, "BYE_SECONDS_MAX", 0.01):
            key.stop()

    def test_never_more_words_in_a_second_than_the_server_takes(self) -> None:
        self.server.words_max, self.server.words_seconds = 8, 0.3
        shorter = mock.patch.object(_speaker, "_A_SECOND", 0.3)
        with shorter, mock.patch.object(_speaker, "WORDS_PER_SECOND_MAX", 5), Records() as seen:
            key = self.secret()
            for number in range(9):
                key.used("1", True, f"p{number}")
            until(lambda: len(self.server.said("used")) == 9)
            self.assertEqual(seen.texts(logging.WARNING), [])

    def test_a_path_that_cannot_be_sent_harms_nothing(self) -> None:
        key = self.secret()
        for path in ("", " ", "x" * 5000, "\ud800", "a\nb", 7, None):
            self.assertTrue(key.used("1", True, path))  # type: ignore[arg-type]
        for version in (None, "9", "x", 1):
            self.assertFalse(key.used(version, True))  # type: ignore[arg-type]
        key.used("1", True, "mark")
        until(lambda: ("used", 1, True, "mark") in self.server.said())
        self.assertEqual(self.server.said("used", "wrong"), [("used", 1, True, "mark")])

    def test_with_fallback_says_what_worked_and_what_was_refused(self) -> None:
        key = self.secret()
        self.waiting()
        self.server.deliver(NAME, 2, self.second)
        until(lambda: ("loaded", 2) in self.server.said())

        def call(value: str) -> str:
            if value == self.second:
                raise Refused
            return "done"

        self.assertEqual(key.with_fallback(call), "done")
        until(lambda: len(self.server.said("used")) == 2)
        self.assertEqual(self.server.said("used"), [("used", 2, False, "main"), ("used", 1, True, "main")])

    def test_rejected_is_a_use_that_was_refused(self) -> None:
        key = self.secret()
        self.assertFalse(key.rejected("1"))
        self.assertFalse(key.rejected("9"))
        until(lambda: self.server.said("used") == [("used", 1, False, "main")])

    def test_a_report_that_the_server_refuses_is_named_and_the_next_one_is_said(self) -> None:
        key = self.secret()
        self.waiting()

        def instead(kind: str, body: dict[str, Any]) -> bytes | None:
            wrong = kind == "used" and body["path"] == "wrong"
            return error("'wrong' is no path of this consumer", help="name it under `paths`") if wrong else None

        self.server.instead = instead
        with Records() as seen:
            key.used("1", True, "wrong")
            key.used("1", True, "mark")
            until(lambda: ("used", 1, True, "mark") in self.server.said())
            self.assertEqual(seen.texts(logging.WARNING), [
                "a report of anthropic was refused: keyroll, anthropic: 'wrong' is no path of this consumer (K0956); "
                "name it under `paths`"
            ])


class Leaving(Case):
    def test_stop_says_bye_behind_all_else(self) -> None:
        key = self.secret()
        key.used("1", True)
        key.stop()
        self.assertEqual(self.server.said()[-3:], [("loaded", 1), ("used", 1, True, "main"), ("bye",)])
        key.stop()
        key.used("1", False)
        self.assertEqual((key.value, self.server.said("bye")), (self.first, [("bye",)]))
        until(lambda: len(self.server.connections) <= 1)  # the one for reports is closed after a while

    def test_a_long_queue_does_not_hold_up_the_last_word(self) -> None:
        reports = _reports.Reports()
        reports.given(1)
        reports.loaded(1)
        for number in range(100):
            reports.used(1, True, f"p{number}")
        reports.bye()
        self.assertEqual([word.kind for word in reports._words], ["loaded", "bye"])

    def test_only_the_last_one_that_stops_says_it(self) -> None:
        one, other = self.secret(), self.secret()
        one.stop()
        self.assertEqual(self.server.said("bye"), [])
        other.stop()
        self.assertEqual(self.server.said("bye"), [("bye",)])

    def test_one_that_is_forgotten_says_it(self) -> None:
        key = RotatableSecret("TEST_KEY", fetch_from_keyroll(NAME, socket=self.server.path), HOUR)
        self.waiting()
        del key
        gc.collect()
        until(lambda: self.server.said("bye") == [("bye",)])

    def test_a_server_that_is_away_or_silent_does_not_keep_it(self) -> None:
        key = self.secret()
        self.waiting()
        with Records(), mock.patch.object(_listener, "BYE_SECONDS_MAX", HOUR):
            self.server.stop()
            key.stop()
        self.server.start()
        other, go = self.secret(), threading.Event()
        self.addCleanup(go.set)
        until(lambda: self.server.said("loaded").count(("loaded", 1)) == 2)
        with mock.patch.object(_listener, "BYE_SECONDS_MAX", 0.05):
            self.server.instead = lambda kind, body: go.wait(20) and b""
            other.stop()
        self.assertEqual(self.server.said("bye"), [])

    def test_one_that_begins_while_the_bye_is_on_its_way_asks_again(self) -> None:
        key, begun, go = self.secret(), threading.Event(), threading.Event()
        self.addCleanup(go.set)
        self.waiting()

        def instead(kind: str, body: dict[str, Any]) -> None:
            if kind == "bye":
                begun.set()
                go.wait(20)

        self.server.instead = instead
        leaving = threading.Thread(target=key.stop)
        leaving.start()
        self.assertTrue(begun.wait(10))
        other = self.secret()
        go.set()
        leaving.join(20)
        until(lambda: self.server.said()[-2:] == [("get", 1), ("loaded", 1)])
        self.assertEqual((other.value, self.server.said("bye")), (self.first, [("bye",)]))


class BadDays(Case):
    def test_a_server_that_is_restarted_is_found_and_nothing_is_said_twice(self) -> None:
        with mock.patch.object(_listener, "GRACE_SECONDS", HOUR), Records() as seen:
            key = self.secret()
            self.waiting()
            accepted = self.server.accepted
            self.server.stop()
            self.server.start()
            until(lambda: self.server.accepted > accepted)
            self.server.deliver(NAME, 2, self.second)
            until(lambda: key.version == "2")
            until(lambda: ("loaded", 2) in self.server.said())
        self.assertEqual(self.server.said("loaded"), [("loaded", 1), ("loaded", 2)])
        self.assertEqual(seen.texts(logging.WARNING), [])

    def test_an_outage_gives_one_warning_and_its_end_is_told(self) -> None:
        with Records() as seen:
            key = self.secret(seconds=0.05)
            self.waiting()
            self.server.stop()
            until(lambda: seen.texts(logging.WARNING))
            self.assertFalse(key.refresh())
            self.assertEqual(key.value, self.first)
            self.server.start()
            until(lambda: "TEST_KEY is fetched again" in seen.texts())
            (warning,) = seen.texts(logging.WARNING)
        self.assertRegex(warning, r"^cannot refresh TEST_KEY: keyroll, anthropic: .*; the value of 0 s ago stays")

    def test_the_thread_that_waits_tells_of_an_outage_and_its_end(self) -> None:
        with Records() as seen:
            self.secret()
            self.waiting()
            self.server.stop()
            until(lambda: seen.texts(logging.WARNING))
            self.server.start()
            until(lambda: seen.texts() and seen.texts()[-1] == "TEST_KEY is fetched again")
            self.assertEqual(len(seen.texts(logging.WARNING)), 1)

    def test_a_word_that_could_not_be_said_is_said_later(self) -> None:
        key = self.secret()
        self.waiting()
        with Records():
            self.server.stop()
            key.used("1", True)
            key.used("1", False, "fallback")
            self.server.start()
            until(lambda: len(self.server.said("used")) == 2)
        self.assertEqual(self.server.said("used"), [("used", 1, True, "main"), ("used", 1, False, "fallback")])

    def test_a_word_whose_answer_did_not_come_is_said_again(self) -> None:
        key, cuts = self.secret(), [0]
        self.waiting()

        def instead(kind: str, body: dict[str, Any]) -> bytes | None:
            if kind == "used" and cuts[0] < 3:
                cuts[0] += 1
                return (b"", b'{"done"', b"\xff\n")[cuts[0] - 1]
            return None

        self.server.instead = instead
        key.used("1", True)
        until(lambda: self.server.said("used") == [("used", 1, True, "main")])
        self.assertEqual(cuts, [3])

    def test_answers_that_are_none_never_replace_the_value(self) -> None:
        canary, key = a_value("canary"), self.secret()
        self.waiting()
        answers = {
            given("other", 2, canary): "the answer is for another secret",
            given(NAME, None, canary): "the answer is not understood: it has no version",
            given(NAME, "2", canary): "the answer is not understood: it has no version",
            given(NAME, True, canary): "the answer is not understood: it has no version",
            given(NAME, 0, canary): "the answer is not understood: it has no version",
            given(NAME, 2**70, canary): "the answer is not understood: it has no version",
            given(NAME, 2, canary)[:-10]: "half an answer",
            given(NAME, 2, canary) * 2: "the answer is not understood: more than one line",
            given(NAME, 2, canary * 40000): "the answer is longer than 1 MiB",
            b"\xff\xfe\n": "the answer is not understood: it is no JSON object",
            json.dumps([canary]).encode() + b"\n": "the answer is not understood: it is no JSON object",
            canary.encode() + b"\n": "the answer is not understood: it is no JSON object",
            b"[" * 200000 + b"\n": "the answer is not understood: it is no JSON object",
            b'{"done":true}\n': "the answer is not understood: it has no version",
            b'{"unchanged":7}\n': "the answer is not understood: it has no version",
            b'{"unchanged":' + b"9" * 100000 + b"}\n": "the answer is not understood: it has no version",
            b"{}\n": "the answer is for another secret",
            b"": "the server ended the connection without an answer",
        }
        source = fetch_from_keyroll(NAME, socket=self.server.path)
        with Records() as seen:
            for answer, reason in answers.items():
                asked: list[int] = []

                def instead(kind: str, body: dict[str, Any]) -> bytes:
                    asked.append(1)
                    return answer

                self.server.instead = instead
                self.assertEqual(self.reason(source), f"keyroll, anthropic: {reason}")
                self.server.cut()  # the thread that waits asks again too
                until(lambda: len(asked) >= 3)
                self.assertEqual((key.value, key.version), (self.first, "1"))
            self.server.instead = lambda kind, body: None
            self.server.deliver(NAME, 2, self.second)
            until(lambda: key.version == "2")
        self.assertNotIn(canary, "".join(seen.texts()))
        self.assertEqual(len(seen.texts(logging.WARNING)), 1)

    def test_the_servers_sentence_and_its_help_are_shown(self) -> None:
        with Records() as seen:
            key = self.secret("unknown")
            with self.assertRaises(SecretUnavailable) as caught:
                _ = key.value
        reason = "keyroll, unknown: not served to uid 1000, /usr/bin/python3.11 (K0956); name it in keyroll.toml"
        self.assertEqual(caught.exception.reason, reason)
        self.assertEqual(seen.texts(logging.WARNING), [f"cannot refresh TEST_KEY: {reason}; there is no value yet"])
        long = error("a\nb\x1b[31m" + "x" * 5000, help="h" * 5000)
        self.server.instead = lambda kind, body: long
        shown = self.reason(fetch_from_keyroll(NAME, socket=self.server.path))
        self.assertTrue(shown.isprintable() and len(shown) < 1000)

    def test_a_socket_that_is_away_is_told(self) -> None:
        folder = tempfile.mkdtemp(dir=os.path.dirname(self.server.path))
        nobody = os.path.join(folder, "nobody.sock")
        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(nobody)
        for path, reason in (
            (os.path.join(folder, "x"), "there is no socket {}: does keyroll serve run?"),
            (nobody, "nobody listens at {}: does keyroll serve run?"),
            (folder, "nobody listens at {}: does keyroll serve run?"),
            ("/" + "x" * 107, "the path of the socket {} is longer than 107 bytes"),
        ):
            shown = self.reason(fetch_from_keyroll(NAME, socket=path))
            self.assertEqual(shown, f"keyroll, anthropic: {reason.format(path)}")
        denied = mock.Mock(side_effect=PermissionError(13, "x"))
        with mock.patch("socket.socket.connect", denied):
            shown = self.reason(fetch_from_keyroll(NAME, socket=Path(nobody)))
        self.assertIn("permission denied for", shown)

    def test_a_server_that_is_silent_or_slow_is_told(self) -> None:
        go = threading.Event()
        self.addCleanup(go.set)
        self.server.instead = lambda kind, body: go.wait(20) and b""
        with mock.patch.object(_keyroll, "ANSWER_SECONDS_MAX", 0.05):
            source = fetch_from_keyroll(NAME, socket=self.server.path)
            self.assertEqual(self.reason(source), "keyroll, anthropic: no answer in time")

    def test_a_request_that_is_never_answered_is_made_again(self) -> None:
        go, waits = threading.Event(), []
        self.addCleanup(go.set)

        def instead(kind: str, body: dict[str, Any]) -> bytes | None:
            if kind == "get" and body.get("wait"):
                waits.append(1)
                if len(waits) == 1:
                    go.wait(20)
            return None

        with mock.patch.object(_listener, "ANSWER_SECONDS_MAX", 0.3), mock.patch.object(_listener, "WAIT_SECONDS", 0.2):
            self.server.instead = instead
            with Records():
                key = self.secret()
                until(lambda: len(waits) >= 2)
                self.server.deliver(NAME, 2, self.second)
                until(lambda: key.version == "2")

    def test_descriptors_that_are_exhausted_leave_the_value_and_are_waited_for(self) -> None:
        key = self.secret()
        self.waiting()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = max(int(name) for name in os.listdir("/proc/self/fd"))
        held: list[int] = []
        with Records() as seen:
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, hard))
            try:
                while True:
                    try:
                        held.append(os.dup(0))
                    except OSError:
                        break
                self.assertFalse(key.refresh())
                self.assertEqual(key.value, self.first)
            finally:
                for descriptor in held:
                    os.close(descriptor)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            self.assertIn("(EMFILE)", seen.texts(logging.WARNING)[0])
            self.server.cut()
            self.server.deliver(NAME, 2, self.second)
            until(lambda: key.version == "2")

    def test_the_thread_finds_new_descriptors_when_there_are_none_and_when_they_were_closed(self) -> None:
        listener, real = _listener.Listener(), socket.socketpair
        self.addCleanup(listener.stop)
        few = mock.Mock(side_effect=[OSError(24, "x"), real()])
        soon = mock.patch.object(_listener, "NO_DESCRIPTORS_SECONDS", 0.01)
        with soon, Records() as seen, mock.patch.object(_listener, "listener", listener):
            with mock.patch.object(_keyroll, "listener", listener), mock.patch("socket.socketpair", few):
                key = self.secret()
                until(lambda: ("loaded", 1) in self.server.said())
                self.assertEqual(
                    seen.texts(logging.WARNING), ["cannot wait at keyroll's socket (OSError); tried again"]
                )
                with mock.patch("socket.socketpair", real):
                    for end in listener._pair:
                        end.close()
                    self.server.deliver(NAME, 2, self.second)
                    until(lambda: key.version == "2")
                    key.stop()


class Silence(Case):
    def test_nothing_shows_the_value(self) -> None:
        with Records() as seen:
            key = self.secret()
            source = key._fetch_fn
            self.waiting()
            self.server.deliver(NAME, 2, self.second)
            until(lambda: ("loaded", 2) in self.server.said())
            key.used("2", False)
            key.with_fallback(lambda value: None)
            reply = _wire.read(given(NAME, 2, self.second).strip(), NAME)
            served = _listener.listener._secrets[(self.server.path, NAME)]
            shown = [repr(reply), repr(source), repr(key), repr(key._holder), repr(served), repr(vars(served))]
            shown += [repr(vars(served.reports)), repr(vars(_listener.listener))]
            self.server.instead = lambda kind, body: given("other", 3, self.third)
            try:
                source()
            except SourceError as caught:
                shown.append("".join(traceback.format_exception(None, caught, caught.__traceback__)))
            for thing in (reply, source, key):
                with self.assertRaises(TypeError):
                    pickle.dumps(thing)
            self.assertFalse(key.refresh())
            self.server.instead = lambda kind, body: None
            key.stop()
        shown += seen.texts()
        for value in (self.first, self.second, self.third):
            self.assertNotIn(value, "".join(shown))


class Settings(Case):
    def test_the_socket_is_looked_for(self) -> None:
        folder = tempfile.mkdtemp(dir=os.path.dirname(self.server.path))
        with mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": folder}):
            os.environ.pop("KEYROLL_SOCKET", None)
            self.assertEqual(_wire.socket_path(None), "/run/keyroll/values.sock")
            own = Path(folder, "keyroll", "values.sock")
            own.parent.mkdir()
            own.touch()
            self.assertEqual(_wire.socket_path(None), str(own))
            os.environ["KEYROLL_SOCKET"] = self.server.path
            self.assertEqual(fetch_from_keyroll(NAME)().value, self.first)
            self.assertEqual(_wire.socket_path("/x"), "/x")

    def test_wrong_arguments_are_refused(self) -> None:
        for arguments in (
            {"secret": ""}, {"secret": " "}, {"secret": 7}, {"secret": "x" * 300}, {"secret": "\ud800"},
            {"secret": "x", "field": ""}, {"secret": "x", "socket": ""}, {"secret": "x", "socket": "a\x00b"},
        ):
            with self.assertRaises(ValueError, msg=str(arguments)):
                fetch_from_keyroll(**arguments)  # type: ignore[arg-type]
        self.assertEqual(repr(fetch_from_keyroll("x")), "<fetch_from_keyroll x>")


FORKS = """
import os, sys, time, warnings
warnings.simplefilter("ignore")
from keyroll import RotatableSecret
from keyroll.sources import fetch_from_keyroll

def get(version):
    end = time.monotonic() + 20
    while key.version != version and time.monotonic() < end:
        time.sleep(0.01)
    return key.version == version

key = RotatableSecret("TEST_KEY", fetch_from_keyroll("anthropic", socket=sys.argv[1]), 3600)
key.used("1", True, "parent")
child = os.fork()
if child == 0:
    key.used("1", True, "child")
    os._exit(0 if get("2") else 1)
_, status = os.waitpid(child, 0)
good = get("2")
key.stop()
print(os.getpid(), child, status, good, key.value == sys.argv[2])
"""

ENDS = """
import sys
from keyroll import RotatableSecret
from keyroll.sources import fetch_from_keyroll
key = RotatableSecret("TEST_KEY", fetch_from_keyroll("anthropic", socket=sys.argv[1]), 3600)
print(key.version)
"""


class Processes(Case):
    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_asks_again_and_speaks_for_itself(self) -> None:
        def rotate() -> None:
            until(lambda: self.server.said().count(("loaded", 1)) == 2, 20)
            until(lambda: ("used", 1, True, "child") in self.server.said(), 20)
            self.server.deliver(NAME, 2, self.second)

        rotating = threading.Thread(target=rotate, daemon=True)
        rotating.start()
        ran = run_program(FORKS, self.server.path, self.second)
        rotating.join(20)
        parent, child, status, good, same = ran.stdout.split()
        self.assertEqual((status, good, same, ran.stderr), ("0", "True", "True", ""))
        its = self.server.said(pid=int(child))
        self.assertEqual(its[:3], [("get", 1), ("loaded", 1), ("used", 1, True, "child")])
        self.assertIn(("get", 2), its)
        own = self.server.said(pid=int(parent))
        self.assertNotIn(("used", 1, True, "child"), own)
        self.assertEqual(own.count(("loaded", 1)), 1)
        self.assertEqual(own[-2:], [("loaded", 2), ("bye",)])
        self.assertEqual(self.server.said("wrong"), [])

    def test_a_program_ends_at_once_and_says_nothing(self) -> None:
        ran = run_program(ENDS, self.server.path, seconds=20)
        self.assertEqual((ran.stdout, ran.stderr, ran.returncode), ("1\n", "", 0))


if __name__ == "__main__":
    sys.exit(unittest.main())
