"""A secret that takes its new value while the program runs."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import os
import pickle
import tempfile
import threading
import time
import traceback
import unittest
import weakref
from typing import Any, Callable, Optional
from unittest import mock

from keyroll import EmergencyRotationController, RefusedValue, RotatableSecret, SecretUnavailable, SourceError, Versioned
from keyroll import _background, _refresh, _worker
from keyroll.sources import fetch_from_env_with_file_watch
from tests.support import Records, a_value, in_threads, run_program, until

HOUR = 3600.0


class Source:
    """A source whose answers the test chooses."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.calls = 0
        self.before: Callable[[], object] = lambda: None

    def __call__(self) -> Any:
        self.calls += 1
        self.before()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Refused(Exception):
    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(f"status {status} {text}")
        self.status_code = status


class Panic(BaseException):
    """Like the PanicException of extensions in Rust: a failure that is no Exception."""


class Case(unittest.TestCase):
    def secret(self, source: Callable[[], Any], seconds: float = HOUR, *rest: Any, **options: Any) -> RotatableSecret:
        key = RotatableSecret("TEST_KEY", source, seconds, *rest, **options)
        self.addCleanup(key.stop)
        return key


class Reading(Case):
    def test_the_value_is_there_on_the_next_line(self) -> None:
        value = a_value()
        key = self.secret(lambda: value)
        self.assertEqual((key.value, key.get(), key.version, key.name), (value, value, "1", "TEST_KEY"))
        self.assertIs(type(key.value), str)

    def test_bytes_and_a_line_end_are_taken(self) -> None:
        value = a_value()
        self.assertEqual(self.secret(lambda: f"{value}\n".encode()).value, value)
        self.assertEqual(self.secret(lambda: f"{value}\r\n").value, value)

    def test_a_source_that_is_away_never_makes_the_constructor_raise(self) -> None:
        secret = a_value()
        for answer in (SourceError("the source is away"), ValueError(secret), None, 7, asyncio.CancelledError(), ""):
            with Records():
                key = self.secret(Source(answer))
            with self.assertRaises(SecretUnavailable) as caught:
                _ = key.value
            self.assertEqual(caught.exception.secret_name, "TEST_KEY")
            self.assertNotIn(secret, "".join(traceback.format_exception(None, caught.exception, None)))
            self.assertEqual((key.version, key.age), (None, None))
            with self.assertRaises(SecretUnavailable):
                key.get()

    def test_the_reason_is_told(self) -> None:
        with Records():
            key = self.secret(Source(SourceError("the store is sealed")))
            with self.assertRaises(SecretUnavailable) as caught:
                _ = key.value
            self.assertEqual(caught.exception.reason, "the store is sealed")
            key = self.secret(Source(ConnectionRefusedError(111, a_value())))
            with self.assertRaises(SecretUnavailable) as caught:
                _ = key.value
        self.assertEqual(caught.exception.reason, "the fetch function raised ConnectionRefusedError (ECONNREFUSED)")

    def test_wrong_arguments_are_refused(self) -> None:
        fetch = a_value
        for arguments, error in (
            (("", fetch), ValueError), (("N", None), TypeError), (("N", fetch, 0), ValueError),
            (("N", fetch, -1), ValueError), (("N", fetch, float("nan")), ValueError), (("N", fetch, "60"), TypeError),
            (("N", fetch, True), TypeError), (("N", fetch, 60, "x"), TypeError),
        ):
            with self.assertRaises(error, msg=str(arguments)):
                RotatableSecret(*arguments)  # type: ignore[arg-type]

    def test_nothing_shows_the_value(self) -> None:
        value = a_value()
        key = self.secret(lambda: value)
        self.assertRegex(repr(key), r"^<RotatableSecret TEST_KEY version=1 age=\d+s>$")
        self.assertNotIn(value, f"{key} {key!r} {[key]} {vars(key) if hasattr(key, '__dict__') else ''}")
        for name in [name for name in dir(key) if name != "value"]:
            self.assertNotIn(value, repr(getattr(key, name)), name)
        for pickling in (pickle.dumps, lambda k: k.__reduce_ex__(2)):
            with self.assertRaises(TypeError) as caught:
                pickling(key)
            self.assertIn("cannot be pickled", str(caught.exception))
        self.assertIs(copy.deepcopy({"key": key})["key"], key)
        self.assertIs(copy.copy(key), key)

    def test_the_value_cannot_be_set_from_outside(self) -> None:
        key = self.secret(a_value)
        with self.assertRaises(AttributeError):
            key.value = "x"  # type: ignore[misc]
        with self.assertRaises(AttributeError):
            del key.value
        with self.assertRaises(AttributeError):
            _ = key.no_such_thing  # type: ignore[attr-defined]

    def test_get_can_force_a_refresh(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        source.answer = a_value()
        self.assertNotEqual(key.get(), source.answer)
        self.assertEqual(key.get(force_refresh=True), source.answer)


class Refreshing(Case):
    def test_a_new_value_comes_without_being_asked_for(self) -> None:
        source = Source(a_value())
        key = self.secret(source, 0.02)
        source.answer = a_value()
        until(lambda: key.value == source.answer)
        self.assertEqual(key.version, "2")

    def test_a_source_that_comes_back_is_found(self) -> None:
        source = Source(SourceError("away"))
        with Records() as seen:
            key = self.secret(source, HOUR)
            source.answer = a_value()
            until(lambda: key.version == "1")
            self.assertIn("TEST_KEY is fetched again", seen.texts())
        self.assertEqual(key.value, source.answer)

    def test_a_thousand_callers_make_one_fetch_and_all_get_its_result(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        asked = threading.Semaphore(0)
        source.before = lambda: [asked.acquire(timeout=30) for _ in range(1000)]
        source.answer, source.calls = a_value(), 0
        boarded = key._board

        def board(apart: float = 0.0) -> Any:
            try:
                return boarded(apart)
            finally:
                asked.release()

        _background.Background._board, kept = lambda _, apart=0.0: board(apart), _background.Background._board  # type: ignore
        try:
            results = in_threads(1000, lambda: (key.refresh(), key.value))
        finally:
            _background.Background._board = kept  # type: ignore[method-assign]
        self.assertEqual(source.calls, 1)
        self.assertEqual(set(results), {(True, source.answer)})

    def test_what_is_no_value_never_replaces_a_good_one(self) -> None:
        value = a_value()
        source = Source(value)
        key = self.secret(source)
        for answer in ("", " ", "<html><body>502", "changeme", "your-api-key-here", b"\xff\xfe", "a\x00", None, 3, ["x"]):
            source.answer = answer
            with Records():
                self.assertFalse(key.refresh(), repr(answer))
            self.assertEqual((key.value, key.version), (value, "1"))

    def test_placeholders_can_be_allowed(self) -> None:
        self.assertEqual(self.secret(lambda: "changeme", HOUR, None, allow_placeholders=True).value, "changeme")

    def test_the_answer_of_a_plain_function_is_taken_as_it_is(self) -> None:
        first, second = a_value(), a_value()
        source = Source(first)
        key = self.secret(source)
        for answer, version in ((second, "2"), (first, "3"), (first, "3")):
            source.answer = answer
            self.assertTrue(key.refresh())
            self.assertEqual((key.value, key.version), (answer, version))

    def test_a_source_with_an_order_never_goes_back(self) -> None:
        new = Versioned(a_value(), "v7", 7)
        source = Source(new)
        key = self.secret(source)
        with Records() as seen:
            source.answer = Versioned(a_value(), "v6", 6)
            self.assertFalse(key.refresh())
            source.answer = Versioned(a_value(), "v7", 7)
            self.assertFalse(key.refresh())
            self.assertIn("older", seen.texts(logging.WARNING)[0])
        self.assertEqual((key.value, key.version), (new.value, "v7"))
        source.answer = Versioned(a_value(), "v8", 8)
        self.assertTrue(key.refresh())
        self.assertEqual(key.version, "v8")

    def test_the_age_counts_from_the_last_good_fetch(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        key._good_at -= 100
        self.assertGreaterEqual(key.age or 0, 100)
        source.answer = SourceError("away")
        with Records():
            key.refresh()
        self.assertGreaterEqual(key.age or 0, 100)
        source.answer = key.value
        key.refresh()
        self.assertLess(key.age or 0, 100)

    def test_the_wall_clock_has_no_part_in_it(self) -> None:
        key = self.secret(a_value)
        real = time.time
        time.time = lambda: real() + 10 * 365 * 86400
        try:
            self.assertLess(key.age or 0, 86400)
        finally:
            time.time = real

    def test_an_outage_gives_one_warning_and_its_end_is_told(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        with Records() as seen:
            source.answer = SourceError("the store is away")
            for _ in range(20):
                self.assertFalse(key.refresh())
            warned = seen.texts(logging.WARNING)
            self.assertEqual(len(warned), 1)
            self.assertRegex(warned[0], r"^cannot refresh TEST_KEY: the store is away; the value of \d+ s ago stays in use$")
            source.answer = a_value()
            self.assertTrue(key.refresh())
            self.assertIn("TEST_KEY is fetched again", seen.texts())

    def test_failures_are_retried_ever_later_up_to_the_interval(self) -> None:
        key = self.secret(a_value, 60)
        limits = []
        for failures in (0, 1, 2, 3, 7, 100):
            key._failures = failures
            delays = [key._delay() for _ in range(200)]
            limits.append((min(delays), max(delays)))
            self.assertGreater(len(set(delays)), 100, "without jitter all programs ask at once")
        key._failures = 0
        for (low, high), (least, most) in zip(limits, ((54, 66), (0.5, 1), (1, 2), (2, 4), (30, 60), (30, 60))):
            self.assertGreaterEqual(low, least)
            self.assertLessEqual(high, most)

    def test_a_fetch_function_that_asks_for_a_refresh_does_not_wait_for_itself(self) -> None:
        keys: list[RotatableSecret] = []
        answers: list[object] = []

        def fetch() -> str:
            answers.extend(key.refresh() for key in keys)
            return "some-value"

        keys.append(self.secret(fetch))
        with mock.patch.object(_refresh, "JOIN_SECONDS_MAX", "waiting with this raises"):
            self.assertTrue(keys[0].refresh())
        self.assertEqual(answers, [False])

    def test_an_interrupt_between_taking_and_showing_a_value_does_not_keep_the_old_one(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        source.answer = a_value()
        with mock.patch.object(RotatableSecret, "_publish", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                key.refresh()
        self.assertTrue(key.refresh())
        self.assertEqual(key.value, source.answer)

    def test_a_change_that_is_noticed_during_a_fetch_makes_one_more(self) -> None:
        now, changed, began, go = [a_value()], [], threading.Event(), threading.Event()
        slow: list[bool] = []

        def fetch() -> str:
            answer = now[0]
            if slow:
                slow.clear()
                began.set()
                go.wait(30)
            return answer

        fetch.watch = changed.append  # type: ignore[attr-defined]
        key = self.secret(fetch)
        slow.append(True)
        late = threading.Thread(target=key.refresh)
        late.start()
        self.assertTrue(began.wait(30))
        now[0] = a_value()
        changed[0]()
        until(lambda: key._handle is not None and key._handle._running)
        go.set()
        until(lambda: key.value == now[0])
        late.join(30)

    def test_descriptors_that_are_exhausted_leave_the_last_good_value(self) -> None:
        value = a_value()
        source = Source(value)
        key = self.secret(source)
        source.answer = OSError(24, "Too many open files")
        with Records() as seen:
            self.assertFalse(key.refresh())
            self.assertIn("EMFILE", seen.texts()[0])
        self.assertEqual(key.value, value)

    def test_stop_ends_the_refreshes_and_keeps_the_value(self) -> None:
        source = Source(a_value())
        with RotatableSecret("TEST_KEY", source, 0.01) as key:
            until(lambda: source.calls > 3)
        key.stop()
        until(lambda: key._turn().flight is None)
        calls = source.calls
        done = threading.Event()
        _worker.schedule(0.2, done.set)
        self.assertTrue(done.wait(30))
        self.assertLessEqual(source.calls - calls, 1)
        self.assertEqual(key.value, source.answer)

    def test_a_secret_that_nobody_holds_is_not_refreshed(self) -> None:
        source, stopped = Source(a_value()), threading.Event()
        source.watch = lambda callback: stopped.set  # type: ignore[attr-defined]
        key: Optional[RotatableSecret] = RotatableSecret("TEST_KEY", source, 0.01)
        ref = weakref.ref(key)
        del key
        until(lambda: gc.collect() is not None and ref() is None)
        self.assertTrue(stopped.is_set(), "its watch goes on")
        calls, done = source.calls, threading.Event()
        _worker.schedule(0.2, done.set)
        self.assertTrue(done.wait(30))
        self.assertEqual(source.calls, calls)

    def test_a_hundred_secrets_have_one_thread(self) -> None:
        for _ in range(100):
            self.secret(a_value)
        names = [thread.name for thread in threading.enumerate()]
        self.assertEqual(names.count("keyroll-worker"), 1)


class Hanging(Case):
    """Fetches that hang: each call of the source waits at a gate of its own."""

    def setUp(self) -> None:
        self.gates: list[threading.Event] = []
        self.answers: list[Any] = []
        self.addCleanup(lambda: [gate.set() for gate in self.gates])
        for name in ("_refresh", "_background"):
            patched = mock.patch(f"keyroll.{name}.HUNG_SECONDS", 0.1)
            patched.start()
            self.addCleanup(patched.stop)

    def hung(self, first: str) -> tuple[RotatableSecret, list[threading.Thread]]:
        """A secret with the value ``first``, and a fetch of it that hangs."""
        def fetch() -> Any:
            number = len(self.gates)
            self.answers.append(a_value())
            self.gates.append(threading.Event())
            if number:
                self.gates[number].wait(60)
            answer = self.answers[number] if number else first
            if isinstance(answer, Exception):
                raise answer
            return answer

        key = self.secret(fetch)
        return key, [self.begin(key)]

    def begin(self, key: RotatableSecret) -> threading.Thread:
        """One more fetch, beside those that hang already."""
        count = len(self.gates)
        flight = key._turn().flight
        until(lambda: flight is None or time.monotonic() - flight.began > 0.1)
        thread = threading.Thread(target=key.refresh, daemon=True)
        thread.start()
        until(lambda: len(self.gates) > count)
        return thread

    def end(self, number: int, answer: Any, thread: threading.Thread) -> None:
        self.answers[number] = answer
        self.gates[number].set()
        thread.join(30)
        self.assertFalse(thread.is_alive())

    def test_it_does_not_stand_in_the_way_of_the_next_one(self) -> None:
        key, threads = self.hung(a_value())
        threads.append(self.begin(key))
        newest = a_value()
        self.end(2, newest, threads[1])
        self.assertEqual((key.value, key.version), (newest, "2"))
        with Records() as seen:
            self.end(1, a_value(), threads[0])
            self.assertEqual((key.value, key.version, seen.texts()), (newest, "2", []), "an older answer was taken")

    def test_its_late_answer_is_taken_if_there_is_no_later_one(self) -> None:
        key, threads = self.hung(a_value())
        threads.append(self.begin(key))
        late, later = a_value(), a_value()
        self.end(1, late, threads[0])
        self.assertEqual(key.value, late)
        self.end(2, later, threads[1])
        self.assertEqual(key.value, later)

    def test_its_late_error_is_no_failure_of_the_source(self) -> None:
        key, threads = self.hung(a_value())
        threads.append(self.begin(key))
        self.end(2, a_value(), threads[1])
        with Records() as seen:
            self.end(1, ValueError("late"), threads[0])
            self.assertEqual((seen.texts(), key._failures), ([], 0))

    def test_there_are_two_at_most_and_nobody_waits_for_them(self) -> None:
        key, threads = self.hung(a_value())
        threads.append(self.begin(key))
        flight = key._turn().flight
        until(lambda: flight is not None and time.monotonic() - flight.began > 0.1)
        with mock.patch.object(_refresh, "JOIN_SECONDS_MAX", "waiting with this raises"):
            self.assertFalse(key.refresh())
            self.assertFalse(asyncio.run(key._arefresh()))
        self.assertEqual(len(self.gates), 3)
        self.end(1, a_value(), threads[0])
        self.begin(key)
        self.assertEqual(len(self.gates), 4)

    def test_a_secret_without_a_value_says_so(self) -> None:
        go, calls = threading.Event(), []
        self.addCleanup(go.set)

        def fetch() -> str:
            calls.append(1)
            if len(calls) == 1:
                raise SourceError("away")
            go.wait(60)
            return "some-value"

        with Records():
            key = self.secret(fetch, 0.05)
            until(lambda: len(calls) == 2)
            flight = key._turn().flight
            until(lambda: flight is not None and time.monotonic() - flight.began > 0.1)
            threading.Thread(target=key.refresh, daemon=True).start()
            until(lambda: "has not answered" in key._reason)
            with self.assertRaises(SecretUnavailable):
                _ = key.value
            go.set()
            until(lambda: key.age is not None)


class Async(Case):
    def test_asyncios_debug_mode_shows_neither_value_nor_error(self) -> None:
        program = """
import asyncio, logging, time
logging.basicConfig(level=logging.DEBUG)
from keyroll import RotatableSecret
async def gives(): time.sleep(0.15); return "some-" + "value"
async def raises(): time.sleep(0.15); raise ValueError("some-" + "value")
async def inside(): return [RotatableSecret("B", fetch, 3600) for fetch in (gives, raises)]
keys = [RotatableSecret("A", fetch, 3600) for fetch in (gives, raises)]
asyncio.run(inside())
print(keys[0].value)
"""
        with mock.patch.dict(os.environ, PYTHONASYNCIODEBUG="1"):
            ended = run_program(program)
        self.assertEqual(ended.stdout, "some-value\n")
        self.assertGreaterEqual(ended.stderr.count("Executing <Task finished"), 4, ended.stderr)
        self.assertNotIn("some-value", ended.stderr)

    def test_the_likely_cause_is_told_when_it_uses_what_belongs_to_another_loop(self) -> None:
        async def main() -> str:
            future = asyncio.get_running_loop().create_future()

            async def fetch() -> Any:
                return await future

            key = self.secret(fetch)
            with self.assertRaises(SecretUnavailable) as caught:
                _ = key.value
            return caught.exception.reason

        with Records():
            self.assertIn("RuntimeError; it runs in an event loop of its own", asyncio.run(main()))

    def test_an_async_fetch_function_works_with_and_without_a_loop(self) -> None:
        value = a_value()

        async def fetch() -> str:
            await asyncio.sleep(0)
            return value

        async def inside() -> str:
            return self.secret(fetch).value

        self.assertEqual(self.secret(fetch).value, value)
        self.assertEqual(asyncio.run(inside()), value)

    def test_aget_waits_for_one_fetch_without_blocking_the_loop(self) -> None:
        source = Source(SourceError("away"))
        go, value = threading.Event(), a_value()
        with Records():
            key = self.secret(source)
            until(lambda: key._turn().flight is None)
            source.calls, source.answer = 0, value
            source.before = lambda: go.wait(30)

            async def main() -> list[str]:
                tasks = [asyncio.ensure_future(key.aget()) for _ in range(100)]
                await asyncio.sleep(0)
                while not source.calls:
                    await asyncio.sleep(0.01)
                self.assertFalse(any(task.done() for task in tasks))
                tasks.pop().cancel()
                go.set()
                return await asyncio.gather(*tasks)

            self.assertEqual(asyncio.run(main()), [value] * 99)
        self.assertEqual(source.calls, 1)

    def test_aget_tells_that_there_is_no_value(self) -> None:
        with Records():
            key = self.secret(Source(SourceError("away")))
            with self.assertRaises(SecretUnavailable):
                asyncio.run(key.aget())

    def test_what_is_no_exception_is_shown_by_its_class_alone(self) -> None:
        value, printed = a_value(), []
        for error in (Panic(value), SystemExit(value), KeyboardInterrupt(value)):
            source = Source(SourceError("away"))
            with Records() as seen, mock.patch.object(threading, "excepthook", printed.append):
                key = self.secret(source)
                until(lambda: key._turn().flight is None)
                source.answer = error
                with self.assertRaises(SecretUnavailable) as caught:
                    asyncio.run(key.aget())
                self.assertEqual(caught.exception.reason, f"the fetch function raised {type(error).__name__}")
                key._failures = 0  # so that the next failure is told
                key._handle.now() if key._handle is not None else None
                until(lambda: any(type(error).__name__ in text for text in seen.texts(logging.WARNING)))
                key.stop()
                until(lambda: not [each for each in threading.enumerate() if each.name == "keyroll-fetch"])
                self.assertNotIn(value, "".join(seen.texts()))
        self.assertEqual(printed, [])

    def test_what_is_no_exception_is_a_failure_like_others_in_the_background(self) -> None:
        source = Source(a_value())
        with Records() as seen:
            key = self.secret(source, 0.02)
            source.answer = Panic("some-value")
            until(lambda: key._failures > 2)
            source.answer = a_value()
            until(lambda: key.value == source.answer)
            self.assertEqual(len(seen.texts(logging.WARNING)), 1, seen.texts())

    def test_what_is_no_exception_passes_in_the_thread_of_the_caller(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        for error in (KeyboardInterrupt(), Panic("x")):
            source.answer = error
            with self.assertRaises(type(error)):
                key.refresh()
        source.answer = a_value()
        self.assertTrue(key.refresh())

    def test_asyncios_debug_mode_does_not_show_what_is_no_exception(self) -> None:
        program = """
import asyncio, logging, time
logging.basicConfig(level=logging.DEBUG)
from keyroll import RotatableSecret
class Panic(BaseException): pass
async def panics(): time.sleep(0.15); raise Panic("some-" + "value")
try: RotatableSecret("A", panics, 3600)
except Panic: print("passed")
"""
        with mock.patch.dict(os.environ, PYTHONASYNCIODEBUG="1"):
            ended = run_program(program)
        self.assertEqual(ended.stdout, "passed\n")
        self.assertIn("Executing <Task finished", ended.stderr)
        self.assertNotIn("some-value", ended.stderr)

    def test_a_loop_that_was_closed_meanwhile_harms_nobody(self) -> None:
        source, go = Source(SourceError("away")), threading.Event()
        with Records() as seen:
            key = self.secret(source)
            until(lambda: key._turn().flight is None)
            source.calls, source.answer, source.before = 0, a_value(), lambda: go.wait(30)
            loop = asyncio.new_event_loop()
            task = loop.create_task(key.aget())
            until(lambda: loop.run_until_complete(asyncio.sleep(0.01)) is None and source.calls)
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            loop.close()
            go.set()
            until(lambda: key.version == "1")
            self.assertEqual(seen.texts(logging.ERROR), [])

    def test_a_flight_that_lands_on_a_closed_loop_raises_nothing(self) -> None:
        from keyroll._refresh import Flight

        flight, loop = Flight(), asyncio.new_event_loop()
        task = loop.create_task(flight.ajoin())
        loop.run_until_complete(asyncio.sleep(0))
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()
        flight.land(True)
        self.assertTrue(flight.ok)


class Callbacks(Case):
    def test_each_change_is_told_and_the_first_value_is_not(self) -> None:
        told: list[str] = []
        values = [a_value() for _ in range(4)]
        source = Source(values[0])
        key = self.secret(source, HOUR, told.append)
        also: list[str] = []
        key.add_callback(also.append)
        for value in values[1:]:
            source.answer = value
            key.refresh()
            key.refresh()
        until(lambda: len(told) == len(also) == 3)
        self.assertEqual((told, also), (values[1:], values[1:]))

    def test_one_that_raises_is_logged_without_the_value(self) -> None:
        def broken(new: str) -> None:
            raise ValueError(f"cannot use {new}")

        source = Source(a_value())
        with Records() as seen:
            key = self.secret(source, HOUR, broken)
            for _ in range(2):
                source.answer = a_value()
                key.refresh()
            until(lambda: len(seen.texts(logging.WARNING)) == 2)
            self.assertIn("failed: ValueError", seen.texts(logging.WARNING)[0])
            self.assertNotIn(source.answer, "\n".join(seen.texts()))

    def test_one_that_hangs_does_not_stop_the_refreshes(self) -> None:
        go, begun = threading.Event(), threading.Event()
        self.addCleanup(go.set)
        source = Source(a_value())
        key = self.secret(source, 0.02, lambda new: (begun.set(), go.wait(60)))
        source.answer = a_value()
        self.assertTrue(begun.wait(30))
        source.answer = a_value()
        until(lambda: key.value == source.answer)

    def test_one_that_found_the_queue_full_is_told_later(self) -> None:
        told: list[str] = []
        source = Source(a_value())
        key = self.secret(source, 0.05, told.append)
        full, _worker._callbacks.add = _worker._callbacks.add, lambda fn, args: False  # type: ignore[method-assign]
        try:
            source.answer = a_value()
            until(lambda: key.value == source.answer)
        finally:
            _worker._callbacks.add = full  # type: ignore[method-assign]
        until(lambda: told == [source.answer])

    def test_the_newest_value_is_the_last_one_told_also_if_it_was_queued_first(self) -> None:
        told: list[str] = []
        source, middle, newest = Source(a_value()), a_value("middle"), a_value("newest")
        key = self.secret(source, HOUR, told.append)
        paused, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)
        queue = _worker.callback

        def slow(fn: Callable[..., object], *args: Any) -> bool:
            if args[-1].value == middle:
                paused.set()
                go.wait(60)
            return queue(fn, *args)

        with mock.patch.object(_worker, "callback", slow):
            source.answer = middle
            late = threading.Thread(target=key.refresh, daemon=True)
            late.start()
            self.assertTrue(paused.wait(30))
            source.answer = newest
            self.assertTrue(key.refresh())
            go.set()
            late.join(30)
        done = threading.Event()
        self.assertTrue(_worker.callback(done.set))
        self.assertTrue(done.wait(30))
        self.assertEqual((key.value, told), (newest, [newest]))

    def test_a_value_that_found_the_queue_full_does_not_have_a_newer_one_told_twice(self) -> None:
        told: list[str] = []
        source, middle, newest = Source(a_value()), a_value("middle"), a_value("newest")
        key = self.secret(source, HOUR, told.append)
        queue = _worker.callback

        def full(fn: Callable[..., object], *args: Any) -> bool:
            if args[-1].value != middle:
                return queue(fn, *args)
            source.answer = newest
            self.assertTrue(key.refresh())
            return False

        with mock.patch.object(_worker, "callback", full):
            source.answer = middle
            self.assertTrue(key.refresh())
            key._announce()
        done = threading.Event()
        self.assertTrue(_worker.callback(done.set))
        self.assertTrue(done.wait(30))
        self.assertEqual(told, [newest])

    def test_they_are_limited(self) -> None:
        key = self.secret(a_value)
        with self.assertRaises(TypeError):
            key.add_callback("x")  # type: ignore[arg-type]
        for _ in range(64):
            key.add_callback(lambda new: None)
        with self.assertRaises(ValueError):
            key.add_callback(lambda new: None)


class Rejections(Case):
    def test_a_storm_of_rejections_makes_one_fetch(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        calls = source.calls
        _background.REJECTION_SECONDS_MIN, kept = HOUR, _background.REJECTION_SECONDS_MIN
        import keyroll._secret as module

        module.REJECTION_SECONDS_MIN = HOUR
        try:
            self.assertEqual(set(in_threads(50, lambda: [key.rejected("1") for _ in range(20)].count(True))), {0})
            self.assertEqual(source.calls - calls, 1)
        finally:
            module.REJECTION_SECONDS_MIN = _background.REJECTION_SECONDS_MIN = kept

    def test_one_within_the_second_is_looked_into_at_its_end(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        self.assertFalse(key.rejected("1"))
        source.answer = a_value()
        self.assertFalse(key.rejected("1"))
        until(lambda: key.value == source.answer)

    def test_it_says_whether_another_value_is_in_use(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        source.answer = a_value()
        self.assertTrue(key.rejected(key.version))
        self.assertEqual(key.version, "2")
        calls = source.calls
        self.assertTrue(key.rejected("1"), "the version in use is another one already")
        self.assertEqual(source.calls, calls)

    def test_a_version_that_is_not_known_gives_false_and_no_fetch(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        for version in ("99", None, 1, "", b"1"):
            self.assertFalse(key.rejected(version))  # type: ignore[arg-type]
            self.assertFalse(key.used(version, True))  # type: ignore[arg-type]
        self.assertEqual(source.calls, 1)

    def test_uses_are_counted_for_the_last_versions_only(self) -> None:
        source = Source(a_value())
        key = self.secret(source)
        for number in range(30):
            source.answer = a_value()
            key.refresh()
            self.assertTrue(key.used(key.version, number % 2 == 0))
        stats = key.stats
        self.assertEqual(len(stats), 16)
        self.assertEqual((stats["31"], stats["30"]), ({"ok": 0, "refused": 1}, {"ok": 1, "refused": 0}))
        stats["31"]["ok"] = 99
        self.assertEqual(key.stats["31"]["ok"], 0)


class Fallback(Case):
    def setUp(self) -> None:
        self.old, self.new = a_value("old"), a_value("new")
        self.source = Source(self.old)
        self.tried: list[str] = []

    def rotated(self, **options: Any) -> RotatableSecret:
        key = self.secret(self.source, HOUR, None, **options)
        self.source.answer = self.new
        key.refresh()
        return key

    def call(self, *good: str, error: Callable[[], Exception] = lambda: Refused(401)) -> Callable[[str], str]:
        def call(value: str) -> str:
            self.tried.append(value)
            if value not in good:
                raise error()
            return f"answer for {value[:3]}"

        return call

    def test_the_current_value_is_enough(self) -> None:
        key = self.rotated()
        self.assertEqual(key.with_fallback(self.call(self.new, self.old)), "answer for new")
        self.assertEqual((self.tried, key.stats["2"]), ([self.new], {"ok": 1, "refused": 0}))

    def test_the_previous_value_is_tried_when_the_current_one_is_refused(self) -> None:
        for status in (401, 403):
            self.setUp()
            key = self.rotated()
            answer = key.with_fallback(self.call(self.old, error=lambda: Refused(status)))
            self.assertEqual((answer, self.tried), ("answer for old", [self.new, self.old]))
            self.assertEqual(key.stats, {"1": {"ok": 1, "refused": 0}, "2": {"ok": 0, "refused": 1}})

    def test_a_newer_value_of_the_source_goes_before_the_previous_one(self) -> None:
        key = self.rotated()
        self.source.answer = newest = a_value("top")
        self.assertEqual(key.with_fallback(self.call(newest, self.old)), "answer for top")
        self.assertEqual(self.tried, [self.new, newest])

    def test_a_second_refusal_is_raised_and_the_refused_value_is_not_tried_again(self) -> None:
        key = self.rotated()
        with self.assertRaises(Refused):
            key.with_fallback(self.call())
        with self.assertRaises(Refused):
            key.with_fallback(self.call())
        self.assertEqual(self.tried, [self.new, self.old, self.new])

    def test_a_refusal_that_was_no_verdict_on_the_key_is_forgotten_with_the_next_success(self) -> None:
        accept: list[Callable[[RotatableSecret], object]] = [
            lambda key: key.with_fallback(self.call(self.new)), lambda key: key.used(key.version, True),
        ]
        for accepted in accept:
            self.setUp()
            key = self.rotated()
            with self.assertRaises(Refused):
                key.with_fallback(self.call())  # an outage of the issuer: both are refused
            accepted(key)
            self.assertEqual(key.with_fallback(self.call(self.old)), "answer for old")

    def test_a_success_is_no_way_back_after_a_compromise(self) -> None:
        key = self.rotated()
        with self.assertRaises(Refused):
            key.with_fallback(self.call())
        key.compromise()
        key.with_fallback(self.call(self.new))
        self.tried.clear()
        with self.assertRaises(Refused):
            key.with_fallback(self.call(self.old))
        self.assertEqual(self.tried, [self.new])

    def test_a_value_that_was_refused_in_use_is_not_fallen_back_to_when_it_was_replaced(self) -> None:
        key = self.rotated()
        with self.assertRaises(Refused):
            key.with_fallback(self.call())
        self.source.answer = newest = a_value("top")
        key.refresh()
        self.tried.clear()
        with self.assertRaises(Refused):
            key.with_fallback(self.call(self.new))
        self.assertEqual(self.tried, [newest])

    def test_any_other_error_passes_at_once(self) -> None:
        key = self.rotated()
        for error in (Refused(500), Refused(429), ValueError("x"), TimeoutError()):
            self.tried.clear()
            with self.assertRaises(type(error)):
                key.with_fallback(self.call(error=lambda: error))
            self.assertEqual(self.tried, [self.new])

    def test_the_status_is_found_where_clients_put_it(self) -> None:
        class Response:
            status_code = 401

        class Other:
            status = 403

        boto = {"Error": {"Code": "x"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        grpc = mock.Mock(return_value=mock.Mock())
        grpc.return_value.name = "UNAUTHENTICATED"
        for name, value in (
            ("status_code", 401), ("status", 403), ("code", 401), ("response", Response()), ("response", Other()),
            ("response", boto), ("sqlstate", "28P01"), ("sqlstate", "28000"), ("pgcode", "28P01"), ("code", grpc),
        ):
            self.setUp()
            error = RuntimeError("refused")
            setattr(error, name, value)
            self.assertEqual(self.rotated().with_fallback(self.call(self.old, error=lambda: error)), "answer for old")

    def test_what_is_no_refusal_passes(self) -> None:
        class Raises(Exception):
            @property
            def response(self) -> object:
                raise RuntimeError("there was no answer")

        denied = mock.Mock(return_value=mock.Mock())
        denied.return_value.name = "PERMISSION_DENIED"
        key = self.rotated()
        for name, value in (
            ("response", {"ResponseMetadata": {"HTTPStatusCode": 500}}), ("response", {"ResponseMetadata": None}),
            ("response", {}), ("sqlstate", "57P03"), ("code", denied), ("code", mock.Mock(side_effect=ValueError)),
            ("status", True), ("status_code", "401"),
        ):
            error = RuntimeError("other")
            setattr(error, name, value)
            self.tried.clear()
            with self.assertRaises(RuntimeError):
                key.with_fallback(self.call(error=lambda: error))
            self.assertEqual(self.tried, [self.new], name)
        with self.assertRaises(Raises):
            key.with_fallback(self.call(error=Raises))

    def test_the_wrong_kind_of_call_is_told(self) -> None:
        key, begun = self.rotated(), []

        async def acall(value: str) -> str:
            begun.append(value)
            return value

        with self.assertRaisesRegex(TypeError, "use awith_fallback"):
            key.with_fallback(acall)
        with self.assertRaisesRegex(TypeError, "use awith_fallback"):
            key.with_fallback(lambda value: acall(value))
        with self.assertRaisesRegex(TypeError, "use with_fallback for a plain function"):
            asyncio.run(key.awith_fallback(lambda value: value))  # type: ignore[arg-type,return-value]
        self.assertEqual((begun, key.stats["2"]), ([], {"ok": 0, "refused": 0}))
        with Records(), self.assertRaises(TypeError):
            self.secret(Source(SourceError("away"))).with_fallback(acall)

    def test_the_program_can_name_refusals_itself(self) -> None:
        key = self.rotated(is_refusal=lambda error: isinstance(error, PermissionError))
        self.assertEqual(key.with_fallback(self.call(self.old, error=PermissionError)), "answer for old")

    def test_after_a_compromise_there_is_no_way_back(self) -> None:
        key = self.rotated()
        key.compromise()
        with self.assertRaises(Refused):
            key.with_fallback(self.call(self.old))
        self.assertEqual(self.tried, [self.new])

    def test_a_compromise_before_the_rotation_holds_after_it(self) -> None:
        for version in (None, "1"):
            self.setUp()
            key = self.secret(self.source)
            key.compromise(version)
            self.assertEqual(key.value, self.old)
            self.source.answer = self.new
            key.refresh()
            with self.assertRaises(Refused):
                key.with_fallback(self.call(self.old))

    def test_a_compromise_of_another_version_changes_nothing(self) -> None:
        key = self.rotated()
        key.compromise("99")
        self.assertEqual(key.with_fallback(self.call(self.old)), "answer for old")

    def test_a_source_can_say_that_the_version_before_was_compromised(self) -> None:
        key = self.secret(self.source)
        self.source.answer = Versioned(self.new, "v2", compromised=True)
        key.refresh()
        self.source.answer = SourceError("away")  # so that it is not told a second time
        with Records(), self.assertRaises(Refused):
            key.with_fallback(self.call(self.old))

    def test_a_version_that_was_reported_as_rejected_is_not_fallen_back_to(self) -> None:
        key = self.rotated()
        self.assertTrue(key.rejected("1"))
        with self.assertRaises(Refused):
            key.with_fallback(self.call(self.old))

    def test_the_previous_value_need_not_be_kept(self) -> None:
        key = self.rotated(keep_previous=False)
        with self.assertRaises(Refused):
            key.with_fallback(self.call(self.old))

    def test_the_twin_for_tasks_does_the_same(self) -> None:
        key = self.rotated()
        call = self.call(self.old)

        async def acall(value: str) -> str:
            await asyncio.sleep(0)
            return call(value)

        self.assertEqual(asyncio.run(key.awith_fallback(acall)), "answer for old")
        self.assertEqual(self.tried, [self.new, self.old])
        key.compromise()
        with self.assertRaises(Refused):
            asyncio.run(key.awith_fallback(acall))

    def test_of_two_refusals_only_the_second_is_shown_and_nothing_is_logged(self) -> None:
        def refuses(value: str) -> str:
            raise Refused(401, value)

        async def arefuses(value: str) -> str:
            return refuses(value)

        for ask in (lambda: key.with_fallback(refuses), lambda: asyncio.run(key.awith_fallback(arefuses))):
            self.setUp()
            key = self.rotated()
            with Records() as seen, self.assertRaises(Refused) as caught:
                ask()
            shown = "".join(traceback.format_exception(type(caught.exception), caught.exception, caught.exception.__traceback__))
            # The error of the program passes as it is; the first one, whose text has the value in use, is not kept.
            self.assertIn(f"status 401 {self.old}", shown)
            self.assertNotIn(self.new, shown)
            self.assertEqual(seen.texts(), [])

    def test_errors_and_logs_of_a_source_show_no_value(self) -> None:
        key = self.rotated()
        self.source.answer = Refused(401, self.new)
        with Records() as seen:
            self.assertFalse(key.refresh())
            self.assertIn("the fetch function raised Refused", "".join(seen.texts()))
            self.assertNotIn(self.new, "".join(seen.texts()) + key._reason)


class Compromised(Case):
    """A value that is in the wrong hands does not come back, whoever gives it."""

    def setUp(self) -> None:
        self.leaked, self.new = a_value("leaked"), a_value("new")
        self.source = Source(self.leaked)

    def replaced(self, answer: object, **options: Any) -> RotatableSecret:
        """A secret whose leaked value was marked, and then replaced."""
        key = self.secret(self.source, HOUR, None, **options)
        key.compromise()
        self.source.answer = answer
        self.assertTrue(key.refresh())
        return key

    def test_a_source_does_not_bring_it_back(self) -> None:
        for again in (self.leaked, Versioned(self.leaked, "v9"), Versioned(self.leaked, "v9", compromised=True)):
            with self.subTest(again=type(again)):
                self.is_refused(again)

    def is_refused(self, again: object) -> None:
        self.source = Source(self.leaked)
        key = self.replaced(self.new)
        self.source.answer = again
        with Records() as seen:
            for _ in range(3):
                self.assertFalse(key.refresh())
            warned = seen.texts(logging.WARNING)
        self.assertEqual((key.value, key.version), (self.new, "2"))
        self.assertEqual(len(warned), 1)
        self.assertIn("the answer is a value that was compromised", warned[0])
        self.assertNotIn(self.leaked, warned[0])
        self.source.answer = other = a_value()
        self.assertTrue(key.refresh())
        self.assertEqual(key.value, other)

    def test_a_new_version_of_it_is_refused_too(self) -> None:
        self.source = Source(Versioned(self.leaked, "1", 1))
        key = self.replaced(Versioned(self.new, "2", 2))
        self.source.answer = Versioned(self.leaked, "3", 3)
        with Records():
            self.assertFalse(key.refresh())
        self.assertEqual(key.value, self.new)

    def test_it_stays_usable_until_there_is_another(self) -> None:
        key = self.secret(self.source)
        key.compromise()
        self.assertTrue(key.refresh())
        self.assertEqual((key.value, key.version), (self.leaked, "1"))

    def test_the_value_before_it_is_not_brought_back_either(self) -> None:
        for keep in (True, False):
            self.source = Source(self.leaked)
            key = self.secret(self.source, HOUR, None, keep_previous=keep)
            self.source.answer = self.new
            key.refresh()
            key.compromise()
            self.source.answer = self.leaked
            with Records():
                self.assertFalse(key.refresh(), keep)
            self.assertEqual(key.value, self.new)

    def test_a_mark_of_the_source_holds_in_the_same_way(self) -> None:
        for keep in (True, False):
            for late in (True, False):
                self.source = Source(self.leaked)
                key = self.secret(self.source, HOUR, None, keep_previous=keep)
                self.source.answer = Versioned(self.new, "v2", compromised=not late)
                self.assertTrue(key.refresh())
                self.source.answer = Versioned(self.new, "v2", compromised=True)
                self.assertTrue(key.refresh())
                self.source.answer = self.leaked
                with Records():
                    self.assertFalse(key.refresh(), (keep, late))
                self.assertEqual(key.value, self.new)

    def test_many_answers_with_a_mark_do_not_displace_the_other_marks(self) -> None:
        key = self.replaced(self.new)
        self.source.answer = Versioned(a_value(), "v3", compromised=True)
        for _ in range(200):
            self.assertTrue(key.refresh())
            key.compromise()
        self.source.answer = self.leaked
        with Records():
            self.assertFalse(key.refresh())

    def test_another_value_is_not_taken_for_it(self) -> None:
        # The short prints of two values may be the same by chance.
        with mock.patch("keyroll._versions.fingerprint", return_value="00000000", create=True):
            key = self.replaced(self.new)
            self.source.answer = newest = a_value()
            self.assertTrue(key.refresh())
            answers = []

            def call(value: str) -> str:
                answers.append(value)
                if value == newest:
                    raise Refused(401)
                return value

            self.assertEqual(key.with_fallback(call), self.new)

    def test_the_variable_behind_a_file_does_not_bring_it_back(self) -> None:
        name = "KEYROLL_TEST_COMPROMISED"
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {name: self.leaked}), Records():
            path = os.path.join(folder, "key")
            key = self.secret(fetch_from_env_with_file_watch(name, path))
            key.compromise()
            with open(path, "w") as file:
                file.write(self.new)
            until(lambda: key.refresh() and key.value == self.new)
            os.unlink(path)
            self.assertFalse(key.refresh())
            self.assertEqual(key.value, self.new)

    def test_a_controller_can_be_told_to_use_it_again(self) -> None:
        ctl = EmergencyRotationController(admin_token=a_value("t"))
        ctl.set_secret("K", self.leaked)
        key = self.secret(ctl.source("K"))
        ctl._swap("K", self.new, compromised=True)
        until(lambda: key.value == self.new)
        ctl.set_secret("K", self.leaked)
        until(lambda: key.value == self.leaked)


@unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
class AfterAFork(unittest.TestCase):
    def test_the_child_has_the_value_and_gets_the_next_one(self) -> None:
        program = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore")
from keyroll import RotatableSecret
parent, hold, held = os.getpid(), threading.Event(), threading.Event()
block = False
told = []
def fetch():
    if block and os.getpid() == parent:
        held.set(); hold.wait(60)          # a fetch is under way while the process forks
    return "value-one" if os.getpid() == parent else "value-two"
key = RotatableSecret("K", fetch, 0.05, on_rotation=told.append)
block = True
assert held.wait(10)
def holder():                              # and the lock of the secret is held
    with key._turn().lock:
        locked.set(); hold.wait(60)
locked = threading.Event()
threading.Thread(target=holder, daemon=True).start()
locked.wait(10)
child = os.fork()
if child == 0:
    if key.value not in ("value-one", "value-two"): os._exit(1)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if key.value == "value-two" and told == ["value-two"] and key.refresh(): os._exit(0)
        time.sleep(0.01)
    os._exit(2)
_, status = os.waitpid(child, 0)
hold.set()
print(os.WEXITSTATUS(status))
"""
        ended = run_program(program)
        self.assertEqual((ended.stdout.strip(), ended.returncode), ("0", 0), ended.stderr)

    def test_a_spawned_process_is_told_to_make_its_own(self) -> None:
        program = """
import multiprocessing, sys
from keyroll import RotatableSecret
if __name__ == "__main__":
    key = RotatableSecret("K", lambda: "value-one", 60)
    try: multiprocessing.get_context("spawn").Process(target=print, args=(key,)).start()
    except TypeError as error: print(error)
"""
        self.assertEqual(run_program(program).stdout.strip(), "a RotatableSecret cannot be pickled: make one in each process")


class AtTheEndOfTheProgram(unittest.TestCase):
    def test_it_ends_at_once_and_says_nothing(self) -> None:
        program = """
import logging, threading, time
from keyroll import RotatableSecret
logging.basicConfig()
begun = threading.Event()
count = [0]
def hangs():
    count[0] += 1
    if count[0] > 1: begun.set(); time.sleep(3600)
    return "value-one"
def changes():
    count.append(1); return f"value-{len(count)}"
async def later():
    return "value-one"
keys = [RotatableSecret("A", hangs, 0.05), RotatableSecret("B", changes, 0.02, on_rotation=lambda new: time.sleep(3600))]
keys += [RotatableSecret("C", later, 0.01) for _ in range(5)]
begun.wait(10)
"""
        ended = run_program(program, seconds=40)
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "", ""))

    def test_a_value_can_be_read_in_an_exit_handler(self) -> None:
        program = """
import atexit
from keyroll import RotatableSecret
key = RotatableSecret("A", lambda: "value-one", 60)
atexit.register(lambda: print(key.value, key.refresh()))
"""
        self.assertEqual(run_program(program).stdout.strip(), "value-one True")


class Laws(unittest.TestCase):
    def test_refused_values_are_an_error_of_their_own(self) -> None:
        from keyroll._versions import Versions

        held = Versions(allow_placeholders=False, keep_previous=True)
        with self.assertRaises(RefusedValue):
            held.take(Versioned(""))
        self.assertIsNone(held.current)


if __name__ == "__main__":
    unittest.main()
