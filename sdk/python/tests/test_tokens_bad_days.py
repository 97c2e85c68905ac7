"""Tokens on bad days: no storm, endpoints that are away or hang, closed loops, forks, descriptors that run out."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import signal
import socket
import threading
import time
import unittest
import weakref
from typing import Any, Callable
from unittest import mock

from keyroll import SelfExpiringTokenManager
from keyroll import _flight, _oauth, _tokens
from tests.queue_full import full_of_callbacks
from tests.support import Records, a_value, in_threads, run_program, until
from tests.token_endpoint import Case


def setUpModule() -> None:
    logging.getLogger("keyroll").addHandler(logging.NullHandler())


class Dripping:
    """A server on loopback that sends something at once, and then a byte now and then: ``with Dripping(…) as url``."""

    def __init__(self, at_once: bytes) -> None:
        self._at_once, self._over = at_once, threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))

    def _serve(self) -> None:
        try:
            connection, _ = self._socket.accept()
            with connection:
                connection.sendall(self._at_once)
                while not self._over.wait(0.05):
                    connection.sendall(b"x")
        except OSError:
            pass  # The client has given up.

    def __enter__(self) -> str:
        threading.Thread(target=self._serve, daemon=True).start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._socket.close()


class BadDays(Case):
    def test_the_old_token_until_its_end_and_one_warning(self) -> None:
        manager = self.manager()
        first = manager.token
        self.endpoint.say(401, {"error": "invalid_client"})
        with Records() as seen:
            self.clock.pass_(3400)
            for failures in range(1, 7):
                self.assertEqual(manager.token, first)
                until(lambda: manager._failures == failures)
                # A pause of 1, 2, 4 … s, in which nothing is asked for.
                for _ in range(20):
                    self.assertEqual(manager.token, first)
                    self.assertFalse(manager.refresh())
                self.assertEqual(self.asked, 1 + failures)
                self.clock.pass_(2 ** (failures - 1) * 0.99)
                self.assertFalse(manager.refresh())
                self.assertEqual(self.asked, 1 + failures)
                self.clock.pass_(2 ** (failures - 1) * 0.3)
            self.clock.pass_(300)
            self.assertEqual(self.why(manager), "the token endpoint answered 401 invalid_client")
            self.assertEqual(len(seen.texts(logging.WARNING)), 1)
            self.endpoint.answer = self.endpoint.good
            self.clock.pass_(100)
            self.assertNotEqual(manager.token, first)
            self.assertNotIn(first, "".join(seen.texts()))

    def test_no_storm(self) -> None:
        manager = self.manager()
        tokens = in_threads(200, lambda: manager.token)
        self.assertEqual((self.asked, len(set(tokens))), (1, 1))
        self.clock.pass_(3601)
        in_threads(200, lambda: manager.token)
        self.assertEqual(self.asked, 2)
        self.endpoint.say(500, {})
        self.clock.pass_(3601)
        whys = in_threads(200, lambda: self.why(manager))
        self.assertEqual(self.asked, 3)
        self.assertEqual(set(whys), {"the token endpoint answered 500"})

    def test_who_looked_before_a_request_ended_does_not_ask_again(self) -> None:
        manager = self.manager()
        first = manager.token
        with mock.patch.object(manager, "_valid", return_value=None):
            self.assertEqual(manager.token, first)
            self.assertEqual(asyncio.run(manager.aget()), first)
        self.assertEqual(self.asked, 1)

    def test_a_thousand_callers_of_one_loop(self) -> None:
        manager = self.manager()

        async def main() -> None:
            tokens = await asyncio.gather(*(manager.aget() for _ in range(1000)))
            self.assertEqual(len(set(tokens)), 1)

        asyncio.run(main())
        self.assertEqual(self.asked, 1)

    def test_a_waiter_that_is_cancelled_and_a_loop_that_is_closed(self) -> None:
        go, value = threading.Event(), a_value()

        def fetch() -> str:
            go.wait(20)
            return value

        manager = self.manager(fetch_fn=fetch)

        async def main() -> None:
            waiter = asyncio.ensure_future(manager.aget())
            await asyncio.sleep(0.05)
            waiter.cancel()
            # The loop is closed while the request is under way.

        with Records("concurrent.futures") as seen, Records("asyncio") as seen_too:
            asyncio.run(main())
            go.set()
            self.assertEqual(manager.token, value)
        self.assertEqual(seen.texts(logging.INFO) + seen_too.texts(logging.INFO), [])

    def test_an_endpoint_that_hangs(self) -> None:
        go = threading.Event()
        self.addCleanup(go.set)
        values = [a_value()]

        def fetch() -> dict[str, Any]:
            if len(values) > 1:
                go.wait(60)
            return {"access_token": values[-1], "expires_in": 10}

        manager = self.manager(fetch_fn=fetch, timeout_seconds=0.1, _clock=self.clock)
        self.assertEqual(manager.token, values[0])
        values.append(a_value())
        self.clock.pass_(11)
        for failures in range(1, _flight.HANGING_MAX + 1):
            self.assertEqual(self.why(manager), "no answer within 0.1 s")
            self.assertEqual(len(manager._hanging), failures)
            self.clock.pass_(11)
        self.assertIn("still hang", self.why(manager))
        # Not for ever: one more after a minute, the next one two minutes after that.
        for pause in (60, 120, 240):
            self.clock.pass_(pause)
            self.assertEqual(self.why(manager), "no answer within 0.1 s")
            self.clock.pass_(76)
            if pause > 60:
                self.assertIn("still hang", self.why(manager))
        self.assertEqual(len(manager._hanging), _flight.HANGING_MAX + 3)
        go.set()
        until(lambda: not manager._hanging)
        self.clock.pass_(100)
        self.assertEqual(manager.token, values[-1])

    def test_an_answer_that_comes_byte_by_byte(self) -> None:
        """Each byte is in time, and the whole never is."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n"
        refusal = b"HTTP/1.1 401 No\r\nContent-Length: 500\r\n\r\n"
        slow = "the token endpoint did not answer within 0.4 s"
        for at_once, why in (
            (b"", slow), (b"HTTP/1.1 200 OK\r\nA: ", slow), (head, slow), (chunked, slow),
            (refusal, "the token endpoint answered 401"),
        ):
            with Dripping(at_once) as url:
                manager = self.manager(refresh_url=url, timeout_seconds=0.4)
                self.assertEqual(self.why(manager), why)
                # The thread has come to its end: it does not count as one that hangs.
                self.assertEqual(manager._hanging, [])

    def test_a_hanging_callback_stops_nothing(self) -> None:
        go = threading.Event()
        self.addCleanup(go.set)
        manager = self.manager(on_rotation=lambda new: go.wait(60))
        for _ in range(5):
            self.assertTrue(manager.refresh())
        self.assertEqual((self.asked, manager.version), (5, "5"))

    def test_a_change_is_told_even_if_callbacks_hung(self) -> None:
        go = threading.Event()
        told: list[str] = []
        self.addCleanup(go.set)
        manager = self.manager(on_rotation=told.append)
        manager.get()
        with full_of_callbacks(go):
            for _ in range(3):
                self.assertTrue(manager.refresh())
        until(lambda: told[-1:] == [manager.token])

    def test_a_refused_token(self) -> None:
        manager = self.manager()
        first = manager.token
        results = in_threads(50, lambda: manager.rejected(first))
        # Who came within the second joins the request that is under way, or is told that it is too soon.
        self.assertEqual(self.asked, 2)
        self.assertIn(True, results)
        self.assertTrue(manager.rejected("1"))
        self.assertTrue(manager.rejected(first))
        self.assertEqual(self.asked, 2)
        second = manager.token
        self.endpoint.say(500, {})
        self.clock.pass_(2)
        self.assertFalse(manager.rejected("2"))
        self.assertEqual(manager.token, second)
        self.endpoint.answer = self.endpoint.good
        self.clock.pass_(5)
        manager.invalidate()
        self.assertEqual(manager.expires_in, 0.0)
        self.assertNotEqual(manager.token, second)

    def test_an_endpoint_that_gives_the_refused_token_again(self) -> None:
        self.endpoint.say(200, {"access_token": a_value(), "expires_in": 3600})
        manager = self.manager()
        token = manager.token
        for seconds in range(1, 4):
            for _ in range(10):
                self.assertFalse(manager.rejected(token))
            self.assertEqual((self.asked, manager.version), (1 + seconds, "1"))
            self.clock.pass_(1)

    def test_stop(self) -> None:
        manager = self.manager()
        with manager:
            first = manager.token
        manager.stop()
        self.clock.pass_(3500)
        self.assertEqual(manager.token, first)
        self.assertFalse(manager.refresh())
        self.clock.pass_(200)
        self.assertEqual(self.why(manager), "the manager was stopped")
        self.assertEqual(self.asked, 1)

    def test_nothing_secret_is_shown_or_pickled(self) -> None:
        manager = self.manager(extra={"password": self.secret}, on_rotation=print)
        token = manager.token
        inner = [vars(each) for each in (manager, manager._secret, manager._endpoint, manager._teller)]
        given = _oauth.Given(token, 1.0)
        for shown in (repr(manager), repr(manager._token), repr(manager._secret), repr(given), repr(inner)):
            self.assertNotIn(token, shown)
            self.assertNotIn(self.secret, shown)
        for each in (manager, manager._secret):
            with self.assertRaisesRegex(TypeError, "pickled"):
                pickle.dumps(each)

    def test_a_forgotten_manager_asks_for_nothing(self) -> None:
        def begin() -> tuple[weakref.ref[SelfExpiringTokenManager], Any]:
            manager = SelfExpiringTokenManager(self.endpoint.url, "client", self.secret)
            manager.get()
            return weakref.ref(manager), until(lambda: manager._handle)

        forgotten, handle = begin()
        until(lambda: gc.collect() is not None and forgotten() is None)
        self.assertIsNone(handle._fn())


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class Processes(Case):
    def in_child(self, work: Callable[[], object]) -> int:
        """What the child ended with: 0 if ``work`` gave something true."""
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a deadlock is a failure
            code = 1
            try:
                code = 0 if work() else 2
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def test_a_child_keeps_its_token_and_refreshes_it(self) -> None:
        manager = self.manager()
        first = manager.token

        def work() -> bool:
            kept = manager.token == first
            self.clock.pass_(3400)
            manager.get()
            until(lambda: manager.token != first)
            return bool(kept and manager.refresh())

        self.assertEqual(self.in_child(work), 0)
        self.assertEqual((manager.token, self.asked), (first, 3))

    def test_a_fork_while_another_thread_has_the_lock(self) -> None:
        manager, has = self.manager(), threading.Event()

        def hold() -> None:
            with _tokens._LOCK:
                has.set()
                time.sleep(0.2)

        threading.Thread(target=hold, daemon=True).start()
        self.assertTrue(has.wait(10))
        self.assertEqual(self.in_child(manager.refresh), 0)

    def test_a_fork_while_a_request_is_under_way(self) -> None:
        go, values = threading.Event(), [a_value(), a_value()]
        parent = os.getpid()

        def fetch() -> str:
            if os.getpid() == parent:
                go.wait(20)
            return values[os.getpid() != parent]

        manager = self.manager(fetch_fn=fetch)
        waiter = threading.Thread(target=manager.refresh, daemon=True)
        waiter.start()
        until(lambda: manager._flight is not None)
        self.assertEqual(self.in_child(lambda: manager.token == values[1]), 0)
        go.set()
        waiter.join(10)
        self.assertEqual(manager.token, values[0])

    def test_descriptors_run_out_and_the_end_of_the_interpreter(self) -> None:
        done = run_program(
            "import resource, sys, threading\n"
            "from keyroll import SelfExpiringTokenManager, TokenUnavailable\n"
            "class Clock:\n"
            "    now = 1000.0\n"
            "    def monotonic(self): return self.now\n"
            "    def time(self): return self.now\n"
            "clock = Clock()\n"
            "m = SelfExpiringTokenManager(sys.argv[1], 'client', 's' * 20, _clock=clock)\n"
            "first = m.token\n"
            "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))\n"
            "print(m.refresh(), m.token == first)\n"
            "clock.now += 3601\n"
            "try: m.token\n"
            "except TokenUnavailable as error: print(error.reason)\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))\n"
            "clock.now += 60\n"
            "print(m.token != first)\n"
            # Both hang when the interpreter ends.
            "n = SelfExpiringTokenManager('', '', '', fetch_fn=lambda: threading.Event().wait())\n"
            "threading.Thread(target=n.refresh, daemon=True).start()\n",
            self.endpoint.url, seconds=30,
        )
        lines = done.stdout.splitlines()
        self.assertEqual((lines[0], lines[2:]), ("False True", ["True"]), done.stderr)
        self.assertIn("too many open files", lines[1])
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)  # the one warning


if __name__ == "__main__":
    unittest.main()
