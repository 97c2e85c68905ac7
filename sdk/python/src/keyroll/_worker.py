"""All timed work of this process on one daemon thread, and callbacks on another.

Neither thread keeps the interpreter alive. Both are opened again in a forked child: timed work goes on there, while
callbacks that waited in the parent stay with the parent. A job that may hang runs in a thread of its own, a bounded
number at a time, so that sources that are slow or hang do not stop the others.
"""

from __future__ import annotations

import atexit
import heapq
import itertools
import logging
import math
import os
import threading
import time
import weakref
from collections import deque
from typing import Callable, NoReturn, Optional

from ._calls import CALLBACKS_WAITING_MAX, STOP_SECONDS_MAX, Callbacks, call

__all__ = [
    "CALLBACKS_WAITING_MAX", "Handle", "after_fork", "call", "callback", "callbacks_dropped", "generation",
    "schedule", "stopping", "weakly",
]

log = logging.getLogger("keyroll")

JOBS_AT_ONCE_MAX = 16
"""Places for jobs that may hang, each with a thread; while all are taken, further jobs wait for one."""
PATIENCE_SECONDS = 5.0
"""A job that takes longer gives its place to the others and goes on beside them. It is named in a warning."""
GIVE_UP_SECONDS = 60.0
"""A job that takes longer hangs: it is begun once more beside that run."""
RUNS_OF_A_JOB_MAX = 2
"""With this many runs that hang, a job is not begun again before one of them ends."""
RUNS_GIVEN_UP_MAX = 64
"""With this many runs in the process that hang, no job has a second one."""
AFTER_A_BUG_SECONDS = 60.0
"""A job that raises is a bug in it. It is tried again, seldom."""
_WAIT_SECONDS_MAX = 3600.0

Job = Callable[[], Optional[float]]


class Handle:
    """One piece of timed work. It cannot be pickled."""

    __slots__ = ("_worker", "_fn", "_may_hang", "_due", "_run", "_again", "_cancelled", "_slow", "_name", "__weakref__")

    def __init__(self, worker: _Worker, fn: Job, due: float, may_hang: bool, name: str) -> None:
        self._worker = worker
        self._fn = fn
        self._may_hang = may_hang
        self._name = name
        self._due = due  # math.inf: not before a run that hangs ends
        self._run: _Run | None = None
        self._again = False
        self._cancelled = False
        self._slow = False  # it was named as slow; again only after it was not

    @property
    def _running(self) -> bool:
        return self._run is not None

    def cancel(self) -> None:
        """No further run begins. It does not wait for one that has begun. Can be called again."""
        self._worker.cancel(self)

    def now(self) -> None:
        """Runs it as soon as possible; once more behind the run that has begun. Never waits."""
        self._worker.hurry(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Handle cannot be pickled: it belongs to this process")


class _Run:
    """One run of a job."""

    __slots__ = ("handle", "began", "thread")

    def __init__(self, handle: Handle, began: float) -> None:
        self.handle = handle
        self.began = began
        self.thread = 0


class _Worker:
    """The jobs by the time when they are due, and the thread that begins them. That thread never waits for a job."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._jobs: set[Handle] = set()
        self._stopped = False
        self._open()

    def _open(self) -> None:
        # Reentrant: a signal handler or a finalizer may call in while the same thread holds it.
        self._wake = threading.Condition(threading.RLock())
        self._heap: list[tuple[float, int, Handle]] = []
        self._waiting: deque[Handle] = deque()  # due, but all places are taken
        self._thread: threading.Thread | None = None
        self._runs: set[_Run] = set()  # of jobs that may hang: they take the places
        self._late: set[_Run] = set()  # slow ones, which gave up their places
        self._given_up: set[_Run] = set()  # those that hang

    def after_fork(self) -> None:
        """In the child: new locks, and the thread again if there is work. What was running is due now."""
        self._open()
        now = time.monotonic()
        for handle in list(self._jobs):
            run, handle._run = handle._run, None
            if run is not None:
                # If the job itself forked, running it here at once would fork again, and so on.
                handle._again = False
                handle._due = now + (AFTER_A_BUG_SECONDS if run.thread == threading.get_ident() else 0.0)
            elif handle._due == math.inf:
                handle._due = now
            self._push(handle)
        if self._jobs and not self._stopped:
            self._ensure_thread()

    def stop(self) -> None:
        self._stopped = True
        # The end of the program does not wait for a thread that holds the lock.
        if self._wake.acquire(timeout=STOP_SECONDS_MAX):
            self._wake.notify_all()
            self._wake.release()

    @property
    def stopped(self) -> bool:
        return self._stopped

    def add(self, delay: float, fn: Job, may_hang: bool, name: str) -> Handle:
        handle = Handle(self, fn, time.monotonic() + max(0.0, delay), may_hang, name)
        with self._wake:
            if not self._stopped:
                self._jobs.add(handle)
                self._push(handle)
                self._ensure_thread()
                self._wake.notify()
        return handle

    def cancel(self, handle: Handle) -> None:
        with self._wake:
            handle._cancelled = True
            self._jobs.discard(handle)

    def hurry(self, handle: Handle) -> None:
        with self._wake:
            if handle._cancelled or self._stopped:
                return
            now = time.monotonic()
            if handle._run is not None or handle._due == math.inf:
                handle._again = True
            elif handle not in self._jobs or handle._due > now:
                # It had come to its end (its function gave None), or it waits for a later time.
                self._jobs.add(handle)
                handle._due = now
                self._push(handle)
            self._ensure_thread()
            self._wake.notify()

    def _push(self, handle: Handle) -> None:
        heapq.heappush(self._heap, (handle._due, next(self._numbers), handle))

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._loop, args=(self._wake,), name="keyroll-worker", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No thread can be had now. The next call tries again; values already fetched stay usable.
            log.warning("cannot start the thread that refreshes secrets; the next use of a secret tries again")
            return
        self._thread = thread

    def _next(self) -> tuple[_Run | None, list[str]]:
        """Waits for a run that is due, or for something to warn of; neither when the interpreter ends."""
        while not self._stopped:
            now = time.monotonic()
            warnings, left = self._look_at_runs(now)
            if warnings:
                return None, warnings
            run = self._pick(now)
            if run is not None:
                return run, []
            if self._heap:
                left = min(left, self._heap[0][0] - now)
            self._wake.wait(min(left, _WAIT_SECONDS_MAX))
        return None, []

    def _pick(self, now: float) -> _Run | None:
        """Begins what is due and has a place."""
        while self._waiting and len(self._runs) < JOBS_AT_ONCE_MAX:
            handle = self._waiting.popleft()
            if handle in self._jobs and handle._run is None:
                return self._begin(handle, now)
        while self._heap:
            due, _, handle = self._heap[0]
            stale = handle not in self._jobs or handle._run is not None or handle._due != due
            if not stale and due > now:
                break
            heapq.heappop(self._heap)
            if stale:
                continue
            if not handle._may_hang or len(self._runs) < JOBS_AT_ONCE_MAX:
                return self._begin(handle, now)
            self._waiting.append(handle)
        return None

    def _begin(self, handle: Handle, now: float) -> _Run:
        run = handle._run = _Run(handle, now)
        if handle._may_hang:
            self._runs.add(run)
        return run

    def _look_at_runs(self, now: float) -> tuple[list[str], float]:
        """What to say of runs that take long, and the seconds until one has to be looked at again."""
        warnings: list[str] = []
        left = math.inf
        for run in list(self._runs):
            handle, took = run.handle, now - run.began
            if took < PATIENCE_SECONDS:
                left = min(left, PATIENCE_SECONDS - took)
                continue
            self._runs.discard(run)
            self._late.add(run)
            if not handle._slow and not handle._cancelled:
                handle._slow = True
                warnings.append(f"{handle._name} takes longer than {PATIENCE_SECONDS:g} s; other work goes on")
        for run in list(self._late):
            handle, took = run.handle, now - run.began
            if took < GIVE_UP_SECONDS:
                left = min(left, GIVE_UP_SECONDS - took)
                continue
            self._give_up(run, now)
            if not handle._cancelled:
                warnings.append(f"{handle._name} has not ended for {GIVE_UP_SECONDS:g} s")
        return warnings, left

    def _give_up(self, run: _Run, now: float) -> None:
        handle = run.handle
        self._late.discard(run)
        self._given_up.add(run)
        handle._run = None
        hung = sum(1 for each in self._given_up if each.handle is handle)
        if hung < RUNS_OF_A_JOB_MAX and len(self._given_up) < RUNS_GIVEN_UP_MAX:
            handle._due = now
            self._push(handle)
        else:
            handle._due = math.inf

    def _loop(self, wake: threading.Condition) -> None:
        while True:
            with wake:
                run, warnings = self._next()
            for text in warnings:
                log.warning("%s", text)
            if run is None:
                if not warnings:
                    return
                continue
            if not run.handle._may_hang or not self._run_aside(run):
                self._run(run)
            del run

    def _run_aside(self, run: _Run) -> bool:
        """Runs the job in a thread of its own. False if none can be had: then the worker itself has to."""
        try:
            threading.Thread(target=self._run, args=(run,), name="keyroll-job", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def _run(self, run: _Run) -> None:
        delay: float | None = None
        run.thread = threading.get_ident()
        try:
            delay = run.handle._fn()
        except BaseException as error:  # noqa: BLE001 - whatever a job does, the others go on
            if not self._stopped:
                log.warning("%s failed: %s; it is tried again in 60 s", run.handle._name, type(error).__name__)
            delay = AFTER_A_BUG_SECONDS
        with self._wake:
            self._end(run, delay)
            self._wake.notify()

    def _end(self, run: _Run, delay: float | None) -> None:
        handle, now = run.handle, time.monotonic()
        self._runs.discard(run)
        self._late.discard(run)
        if run in self._given_up:
            self._given_up.discard(run)
        elif now - run.began < PATIENCE_SECONDS:
            handle._slow = False
        if handle._run is run:
            handle._run = None
        if handle._run is not None or handle._cancelled:
            return  # also if it was begun again beside this run
        again, handle._again = handle._again, False
        if delay is None and not again:
            self._jobs.discard(handle)
            handle._due = now
            return
        handle._due = now + (0.0 if again or delay is None else max(0.0, delay))
        self._push(handle)


_worker = _Worker()
_callbacks = Callbacks()
_generation = 0
_forked: list[Callable[[], object]] = []


def schedule(delay_seconds: float, fn: Job, *, may_hang: bool = True, name: str = "timed work") -> Handle:
    """Runs ``fn`` once after ``delay_seconds``; it returns the seconds until its next run, or None for no further one.

    The worker keeps ``fn`` until then: a function that belongs to an object should hold it weakly. With
    ``may_hang=False`` it runs on the worker thread itself, which is cheaper, and it must never wait for long. Otherwise
    a run that has not ended after 60 s is given up on: ``fn`` is begun once more beside it. ``name`` is for messages.
    """
    return _worker.add(delay_seconds, fn, may_hang, name)


def weakly(method: Job) -> Job:
    """A job that calls the method while its object lives: a forgotten object must not work for ever."""
    weak = weakref.WeakMethod(method)

    def job() -> float | None:
        alive = weak()
        return None if alive is None else alive()

    return job


def callback(fn: Callable[..., object], *args: object) -> bool:
    """Calls ``fn(*args)`` on the thread for callbacks, in order. False if it was dropped: 256 others wait.

    What it raises is logged by its class alone. A coroutine that it returns is run to its end on that thread.
    """
    return _callbacks.add(fn, args)


def callbacks_dropped() -> int:
    """How many callbacks were dropped in this process."""
    return _callbacks.dropped


def generation() -> int:
    """How many forks lie between the first process that loaded this module and this one."""
    return _generation


def stopping() -> bool:
    """Whether the interpreter is coming to its end: no warning and no work begins then."""
    return _worker.stopped


def after_fork(fn: Callable[[], object]) -> None:
    """Calls ``fn()`` in each forked child, before the child's own code and before timed work goes on there."""
    _forked.append(fn)


def _after_fork() -> None:
    global _generation
    _generation += 1
    _callbacks.after_fork()
    for fn in _forked:
        fn()
    _worker.after_fork()


def _at_exit() -> None:
    _worker.stop()
    _callbacks.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
