"""The thread for timed work and the one for callbacks."""

from __future__ import annotations

import os
import pickle
import threading
import time
import unittest
from typing import Any, Callable, Optional
from unittest import mock

from keyroll import _worker
from tests.support import Records, a_value, run_program, until


class TimedWork(unittest.TestCase):
    def test_a_job_runs_again_as_long_as_it_says_when(self) -> None:
        runs: list[int] = []

        def job() -> Optional[float]:
            runs.append(1)
            return 0.01 if len(runs) < 3 else None

        handle = _worker.schedule(0.01, job)
        until(lambda: len(runs) == 3)
        handle.now()
        until(lambda: len(runs) == 4)

    def test_a_cancelled_job_does_not_run(self) -> None:
        runs: list[str] = []
        handle = _worker.schedule(0.05, lambda: runs.append("cancelled"))
        handle.cancel()
        handle.cancel()
        handle.now()
        done = threading.Event()
        _worker.schedule(0.1, done.set)
        self.assertTrue(done.wait(10))
        self.assertEqual(runs, [])

    def test_now_during_a_run_gives_one_more_run(self) -> None:
        begun, go, runs = threading.Event(), threading.Event(), []

        def job() -> None:
            runs.append(1)
            begun.set()
            go.wait(10)

        handle = _worker.schedule(0, job)
        self.assertTrue(begun.wait(10))
        for _ in range(50):
            handle.now()
        go.set()
        until(lambda: len(runs) == 2)
        after = threading.Event()
        _worker.schedule(0.05, after.set)
        self.assertTrue(after.wait(10))
        self.assertEqual(len(runs), 2)

    def test_a_job_that_hangs_does_not_stop_the_others(self) -> None:
        go, aside, inline = threading.Event(), threading.Event(), threading.Event()
        self.addCleanup(go.set)
        # With this patience, a worker that waits for a job would wait longer than this test.
        with mock.patch.object(_worker, "PATIENCE_SECONDS", 3600.0):
            for _ in range(4):
                _worker.schedule(0, lambda: go.wait(60) and None)
            _worker.schedule(0.05, aside.set)
            _worker.schedule(0.05, inline.set, may_hang=False)
            self.assertTrue(aside.wait(30) and inline.wait(30))

    def test_a_job_that_raises_is_named_without_its_text(self) -> None:
        value = a_value()

        def job() -> None:
            raise ValueError(value)

        with Records() as seen:
            handle = _worker.schedule(0, job, name="the broken one")
            self.addCleanup(handle.cancel)
            until(lambda: seen.texts())
            self.assertEqual(seen.texts(), ["the broken one failed: ValueError; it is tried again in 60 s"])

    def test_what_is_no_exception_is_named_in_the_same_way(self) -> None:
        class Panic(BaseException):
            pass

        value, printed = a_value(), []
        for error in (Panic(value), SystemExit(value), KeyboardInterrupt(value)):
            for may_hang in (True, False):

                def job() -> None:
                    raise error

                with Records() as seen, mock.patch.object(threading, "excepthook", printed.append):
                    handle = _worker.schedule(0, job, name="the broken one", may_hang=may_hang)
                    self.addCleanup(handle.cancel)
                    until(lambda: seen.texts() and not handle._running)
                    self.assertEqual(
                        seen.texts(), [f"the broken one failed: {type(error).__name__}; it is tried again in 60 s"]
                    )
        self.assertEqual(printed, [])

    def test_there_is_one_thread_for_all_jobs(self) -> None:
        handles = [_worker.schedule(3600, lambda: None) for _ in range(100)]
        names = [thread.name for thread in threading.enumerate()]
        self.assertEqual(names.count("keyroll-worker"), 1)
        for handle in handles:
            handle.cancel()

    def test_a_handle_cannot_be_pickled(self) -> None:
        with self.assertRaises(TypeError):
            pickle.dumps(_worker.schedule(0, lambda: None))


class SlowWork(unittest.TestCase):
    def setUp(self) -> None:
        self.worker, self.go, self.lock = _worker._Worker(), threading.Event(), threading.Lock()
        self.running = self.most = self.begun = 0
        self.addCleanup(self.worker.stop)
        self.addCleanup(self.go.set)

    def limits(self, **limits: float) -> None:
        patched = mock.patch.multiple(_worker, **limits)
        patched.start()
        self.addCleanup(patched.stop)

    def hang(self) -> Any:
        with self.lock:
            self.running += 1
            self.begun += 1
            self.most = max(self.most, self.running)
        self.go.wait(60)
        with self.lock:
            self.running -= 1
        return None

    def add(self, job: Callable[[], Optional[float]], name: str = "a job") -> _worker.Handle:
        return self.worker.add(0, job, True, name)

    def hurry_all(self) -> None:
        """From now on every run is given up at once; those that have begun all in one look."""
        with self.worker._wake:
            self.limits(PATIENCE_SECONDS=0.0, GIVE_UP_SECONDS=0.0)
            self.worker._wake.notify()

    def nothing_is_left_to_begin(self) -> bool:
        """Whether every run was given up, and none is due."""
        worker = self.worker
        with worker._wake:
            return bool(worker._given_up) and not (worker._heap or worker._waiting or worker._runs or worker._late)

    def test_it_is_named_once_until_it_was_in_time(self) -> None:
        self.limits(PATIENCE_SECONDS=0.1)
        slow, runs = [True], [0]

        def job() -> float:
            runs[0] += 1
            if slow[0]:
                run = handle._run
                until(lambda: run is not None and time.monotonic() - run.began > 0.15)
            return 0.01

        with Records() as seen:
            handle = _worker.Handle(self.worker, job, 0.0, True, "the slow one")
            self.worker.hurry(handle)
            until(lambda: runs[0] >= 4)
            self.assertEqual(seen.texts(), ["the slow one takes longer than 0.1 s; other work goes on"])
            slow[0] = False
            until(lambda: not handle._slow)
            slow[0] = True
            until(lambda: len(seen.texts()) == 2)
            slow[0] = False
            handle.cancel()

    def test_the_threads_are_bounded_and_what_waits_gets_its_turn(self) -> None:
        self.limits(PATIENCE_SECONDS=3600.0)
        for _ in range(3 * _worker.JOBS_AT_ONCE_MAX):
            self.add(self.hang)
        until(lambda: self.running == _worker.JOBS_AT_ONCE_MAX)
        after = threading.Event()
        self.worker.add(0.05, after.set, False, "inline")
        self.assertTrue(after.wait(30))
        self.go.set()
        until(lambda: self.begun == 3 * _worker.JOBS_AT_ONCE_MAX and not self.running)
        self.assertEqual(self.most, _worker.JOBS_AT_ONCE_MAX)

    def test_jobs_that_are_slow_give_their_places_to_the_others(self) -> None:
        self.limits(PATIENCE_SECONDS=0.2)
        with Records() as seen:
            for _ in range(_worker.JOBS_AT_ONCE_MAX):
                self.add(self.hang, "the one that hangs")
            until(lambda: self.running >= _worker.JOBS_AT_ONCE_MAX)
            other = threading.Event()
            self.add(other.set)
            self.assertTrue(other.wait(30))
            self.assertEqual(self.running, _worker.JOBS_AT_ONCE_MAX)
            until(lambda: len([text for text in seen.texts() if "the one that hangs" in text]) == _worker.JOBS_AT_ONCE_MAX)
            self.assertIn("the one that hangs takes longer than 0.2 s; other work goes on", seen.texts())

    def test_a_job_that_hangs_is_begun_once_more_and_again_when_a_run_ended(self) -> None:
        self.limits(PATIENCE_SECONDS=0.05, GIVE_UP_SECONDS=0.1)
        back = threading.Event()

        def job() -> float:
            if back.is_set():
                return 3600.0
            self.hang()
            return 3600.0

        with Records() as seen:
            handle = self.add(job)
            until(lambda: seen.texts().count("a job has not ended for 0.1 s") == 2)
            handle.now()
            after = threading.Event()
            self.worker.add(0.3, after.set, False, "inline")
            self.assertTrue(after.wait(30))
            self.assertEqual((self.begun, self.running), (2, 2))
        back.set()
        self.go.set()
        until(lambda: not self.running and not self.worker._given_up)
        ran = threading.Event()
        handle._fn = lambda: ran.set() and None
        handle.now()
        self.assertTrue(ran.wait(30))

    def test_a_cancelled_job_that_hangs_is_neither_named_nor_begun_again(self) -> None:
        with Records() as seen:
            handle = self.add(self.hang)
            until(lambda: self.running == 1)
            handle.cancel()
            self.hurry_all()
            until(lambda: self.worker._given_up)
            self.go.set()
            until(lambda: not self.worker._given_up)
            self.assertEqual(([text for text in seen.texts() if "has not ended" in text], self.begun), ([], 1))

    def test_second_runs_are_bounded(self) -> None:
        self.limits(RUNS_GIVEN_UP_MAX=4)
        with Records() as seen:
            for _ in range(8):
                self.add(self.hang)
            until(lambda: self.running == 8)
            # All eight are given up in one look. One after the other, a second run may be given up before them and count
            # in their place.
            self.hurry_all()
            until(self.nothing_is_left_to_begin)
            self.assertEqual(len(self.worker._given_up), 8 + 3)
            until(lambda: self.begun == 8 + 3)
            until(lambda: len([text for text in seen.texts() if "has not ended" in text]) == 8 + 3)


class Callbacks(unittest.TestCase):
    def test_they_run_in_order_on_their_own_thread(self) -> None:
        calls: list[tuple[int, str]] = []
        for number in range(20):
            self.assertTrue(_worker.callback(lambda n: calls.append((n, threading.current_thread().name)), number))
        until(lambda: len(calls) == 20)
        self.assertEqual(calls, [(number, "keyroll-callbacks") for number in range(20)])

    def test_one_that_raises_is_named_without_its_text_and_the_next_one_runs(self) -> None:
        value, done = a_value(), threading.Event()

        def broken() -> None:
            raise RuntimeError(value)

        def leaves() -> None:
            raise SystemExit(value)

        with Records() as seen:
            _worker.callback(broken)
            _worker.callback(leaves)
            _worker.callback(done.set)
            self.assertTrue(done.wait(10))
            texts = "\n".join(seen.texts())
        self.assertIn("failed: RuntimeError", texts)
        self.assertIn("failed: SystemExit", texts)
        self.assertNotIn(value, texts)

    def test_a_coroutine_is_run_to_its_end(self) -> None:
        seen: list[int] = []

        async def later(number: int) -> None:
            seen.append(number)

        _worker.callback(later, 7)
        until(lambda: seen == [7])

    def test_asyncios_debug_mode_shows_neither_its_result_nor_its_error(self) -> None:
        program = """
import logging, sys, time
logging.basicConfig(level=logging.DEBUG)
from keyroll import _worker
async def gives(value): time.sleep(0.15); return value
async def raises(value): time.sleep(0.15); raise ValueError(value)
class Panic(BaseException): pass
async def panics(value): time.sleep(0.15); raise Panic(value)
for callback in gives, raises, panics: _worker.call(callback, "some-" + "value")
"""
        with mock.patch.dict(os.environ, PYTHONASYNCIODEBUG="1"):
            ended = run_program(program)
        self.assertEqual(ended.stderr.count("Executing <Task finished"), 3, ended.stderr)
        self.assertNotIn("some-value", ended.stderr)
        self.assertIn("failed: ValueError", ended.stderr)
        self.assertIn("failed: Panic", ended.stderr)

    def test_one_that_hangs_fills_a_bounded_queue_and_jobs_go_on(self) -> None:
        go, begun, ran = threading.Event(), threading.Event(), []
        self.addCleanup(go.set)
        _worker.callback(lambda: (begun.set(), go.wait(60)))
        self.assertTrue(begun.wait(10))
        dropped = _worker.callbacks_dropped()
        with Records() as seen:
            taken = [_worker.callback(ran.append, 1) for _ in range(_worker.CALLBACKS_WAITING_MAX + 10)]
            self.assertEqual(taken.count(True), _worker.CALLBACKS_WAITING_MAX)
            self.assertEqual(_worker.callbacks_dropped() - dropped, 10)
            self.assertEqual(len(seen.texts()), 1, "one warning, not one for each")
        done = threading.Event()
        _worker.schedule(0, done.set)
        self.assertTrue(done.wait(10))
        go.set()
        until(lambda: len(ran) == _worker.CALLBACKS_WAITING_MAX)


@unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
class AfterAFork(unittest.TestCase):
    def test_work_and_callbacks_go_on_in_the_child(self) -> None:
        program = """
import os, sys, threading, time
from keyroll import _worker
runs, hold = [], threading.Event()
def job():
    runs.append(os.getpid())
    return 0.02
_worker.schedule(0, job)
def hang():                 # a job that is running while the process forks
    if os.getpid() == parent: hold.wait(60)
    after.append(os.getpid())
parent, after = os.getpid(), []
_worker.schedule(0, hang)
_worker.callback(hold.wait, 60)
locked = threading.Event()
def holder():               # the locks of the worker are held while the process forks
    with _worker._worker._wake, _worker._callbacks._wake:
        locked.set(); hold.wait(60)
while not runs: time.sleep(0.01)
threading.Thread(target=holder, daemon=True).start()
locked.wait(10)
child = os.fork()
if child == 0:
    called = threading.Event()
    _worker.callback(called.set)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if os.getpid() in runs and called.is_set() and os.getpid() in after: os._exit(0)
        time.sleep(0.01)
    os._exit(1 + (os.getpid() not in runs) + 2 * (not called.is_set()) + 4 * (os.getpid() not in after))
_, status = os.waitpid(child, 0)
hold.set()
print(os.WEXITSTATUS(status))
"""
        ended = run_program(program)
        self.assertEqual((ended.stdout.strip(), ended.returncode), ("0", 0), ended.stderr)

    def test_a_job_that_forks_is_not_run_again_at_once_by_its_child(self) -> None:
        program = """
import os, time
from keyroll import _worker
count, done = os.path.join(os.environ["COUNT"]), []
def job():
    with open(count, "a") as file: file.write("x")
    child = os.fork()
    if child == 0:
        time.sleep(0.3)      # long enough for the thread of the child, if it ran the job
        os._exit(0)
    os.waitpid(child, 0)
    done.append(1)
_worker.schedule(0, job)
end = time.monotonic() + 20
while not done and time.monotonic() < end: time.sleep(0.01)
print(os.path.getsize(count))
"""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            os.environ["COUNT"] = os.path.join(folder, "count")
            try:
                ended = run_program(program)
            finally:
                del os.environ["COUNT"]
        self.assertEqual(ended.stdout.strip(), "1", ended.stderr)


class AtTheEndOfTheProgram(unittest.TestCase):
    def test_it_ends_at_once_and_says_nothing_with_work_and_callbacks_that_hang(self) -> None:
        program = """
import threading, time
from keyroll import _worker
begun = [threading.Event(), threading.Event()]
def hang(event):
    event.set(); time.sleep(3600)
_worker.schedule(0, lambda: hang(begun[0]))
_worker.callback(hang, begun[1])
for _ in range(20): _worker.schedule(0.001, lambda: 0.001)
for event in begun: event.wait(10)
"""
        ended = run_program(program, seconds=30)
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "", ""))

    def test_an_interrupt_is_not_swallowed(self) -> None:
        program = """
import os, signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)   # a job in the background ignores it
from keyroll import _worker
_worker.schedule(0.001, lambda: 0.001)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try: threading.Event().wait(20)
except KeyboardInterrupt: print("interrupted")
"""
        self.assertEqual(run_program(program).stdout.strip(), "interrupted")


class WithoutThreads(unittest.TestCase):
    def test_a_thread_that_cannot_start_is_started_later(self) -> None:
        worker = _worker._Worker()
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if thread.name.startswith("keyroll"):
                raise RuntimeError("can't start new thread")
            start(thread)

        ran = threading.Event()
        threading.Thread.start = refuse  # type: ignore[method-assign]
        try:
            with Records() as seen:
                handle = worker.add(0, ran.set, True, "a job")
                self.assertIn("cannot start the thread", seen.texts()[0])
        finally:
            threading.Thread.start = start  # type: ignore[method-assign]
        handle.now()
        self.assertTrue(ran.wait(10))
        worker.stop()


if __name__ == "__main__":
    unittest.main()
