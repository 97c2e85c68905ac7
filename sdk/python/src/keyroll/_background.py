"""The work behind a secret: one fetch at a time, again and again, and callbacks for what it brought."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import time
import weakref
from typing import Any, Awaitable, Callable, Optional, Tuple, Type, Union

from . import _worker
from ._push import Answer as Pushed
from ._push import Holder, PushSource
from ._refresh import FLIGHTS_HUNG_MAX, HUNG_SECONDS, Answer, Flight, fetch, reason_of
from ._versions import Kept, Versions

log = logging.getLogger("keyroll")

FetchFn = Callable[[], Union[Answer, Awaitable[Answer]]]

INTERVAL_SECONDS_MIN = 0.01
BACKOFF_SECONDS_FIRST = 1.0
REJECTION_SECONDS_MIN = 1.0
"""Between two fetches that rejections ask for: a storm of them makes one fetch."""

_Errors = Tuple[Type[BaseException], ...]
FAILURES: _Errors = (Exception, asyncio.CancelledError)
"""What is a failed fetch in the thread of a caller. Others, such as KeyboardInterrupt, are for the caller."""
FAILURES_ASIDE: _Errors = (BaseException,)
"""The same in a thread of this package, which has no caller, and whose last words would be the text of the error."""


class _Turn:
    """What must not outlive a fork: the lock, and the fetch that another thread was making."""

    __slots__ = ("lock", "flight", "hung")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.flight: Flight | None = None
        self.hung: set[Flight] = set()  # given up on, and still under way


class _Told:
    """The serial of the last value that callbacks were told; they are not told of the first one.

    An object of its own: what waits in the queue for callbacks has it, and not the secret.
    """

    __slots__ = ("serial",)

    def __init__(self) -> None:
        self.serial = 1


class Background:
    """Fetches the values of one secret into ``_held``. ``RotatableSecret`` is built on it."""

    __slots__ = (
        "_name", "_fetch_fn", "_interval", "_callbacks", "_held", "_turns", "_good_at", "_reason", "_failures",
        "_dirty", "_handle", "_late", "_rejection_at", "_stop_watch", "_stopped", "_told", "_queued",
        "_begun", "_landed", "_holder", "__weakref__",
    )

    def __init__(self, name: str, fetch_fn: FetchFn, interval: float, held: Versions) -> None:
        self._interval = _checked_interval(interval)
        self._name = name
        self._fetch_fn = fetch_fn
        self._held = held
        self._callbacks: tuple[Callable[[str], object], ...] = ()
        self._turns: dict[int, _Turn] = {}
        self._good_at = 0.0
        self._reason = "no value was fetched yet"
        self._failures = 0
        self._dirty = False
        self._handle: _worker.Handle | None = None
        self._late: _worker.Handle | None = None
        self._rejection_at = -math.inf
        self._stop_watch: Callable[[], object] | None = None
        self._stopped = False
        self._told = _Told()
        self._queued = (0, 1)
        self._begun = 0  # how many fetches began
        self._holder: Holder | None = None  # at a source that brings new values by itself
        self._landed = 0  # the number of the latest fetch whose answer was taken

    def _start(self) -> None:
        # The watch begins before the first fetch: a change between the two must not be missed.
        self._stop_watch = self._watch()
        self._refresh()
        me = weakref.ref(self)
        self._handle = _worker.schedule(self._delay(), lambda: _scheduled(me), name=f"the refresh of {self._name}")
        if self._dirty:
            self._handle.now()

    def _end(self) -> None:
        self._stopped = True
        stop_watch, self._stop_watch = self._stop_watch, None
        if stop_watch is not None:
            stop_watch()
        for handle in (self._handle, self._late):
            if handle is not None:
                handle.cancel()

    def _publish(self, value: str) -> None:
        """Makes the value readable. The class that has the attribute does it."""
        raise NotImplementedError

    def _age(self) -> float | None:
        return None if self._held.current is None else max(0.0, time.monotonic() - self._good_at)

    def _refresh(self, apart: float = 0.0, failures: _Errors = FAILURES) -> bool:
        flight, mine = self._board(apart)
        if flight is None:
            return False
        return self._fly(flight, failures) if mine else flight.join()

    # One fetch at a time

    def _turn(self) -> _Turn:
        generation = _worker.generation()
        return self._turns.get(generation) or self._turns.setdefault(generation, _Turn())

    def _board(self, apart: float = 0.0) -> tuple[Flight | None, bool]:
        """The fetch in progress, or a new one that the caller has to make (True).

        With ``apart``, none if the last fetch of this kind was less than that many seconds ago; one follows then.
        """
        turn = self._turn()
        with turn.lock:
            if turn.flight is not None and not self._give_up(turn, turn.flight):
                return turn.flight, False
            left = self._rejection_at + apart - time.monotonic() if apart else 0.0
            if left > 0:
                if self._late is None and not self._stopped:
                    me = weakref.ref(self)
                    self._late = _worker.schedule(left, lambda: _late(me), name=f"the refresh of {self._name}")
                return None, False
            if apart:
                self._rejection_at = time.monotonic()
            self._begun += 1
            turn.flight = Flight(self._begun)
            return turn.flight, True

    def _give_up(self, turn: _Turn, flight: Flight) -> bool:
        """Whether a fetch that began before may go on beside a new one, because it hangs."""
        if time.monotonic() - flight.began < HUNG_SECONDS or len(turn.hung) >= FLIGHTS_HUNG_MAX - 1:
            return False
        turn.hung.add(flight)
        turn.flight = None
        if self._held.current is None:
            self._reason = f"the fetch function has not answered for {HUNG_SECONDS:g} s"
        return True

    def _fly(self, flight: Flight, failures: _Errors = FAILURES) -> bool:
        ok = False
        try:
            flight.owner = threading.get_ident()
            self._dirty = False
            ok = self._fetch_once(flight.number, failures)
        finally:
            turn = self._turn()
            with turn.lock:
                turn.hung.discard(flight)
                if turn.flight is flight:
                    turn.flight = None
            flight.land(ok)
        self._announce()
        return ok

    def _fly_aside(self, flight: Flight) -> None:
        try:
            self._fly(flight, FAILURES_ASIDE)
        except BaseException as error:  # noqa: BLE001 - threading would print its text, which may hold the value
            if not _worker.stopping():
                log.warning("the refresh of %s failed: %s", self._name, type(error).__name__)

    def _fetch_once(self, number: int, failures: _Errors = FAILURES, pushed: Pushed | None = None) -> bool:
        try:
            answer = fetch(self._fetch_fn if pushed is None else pushed)
            with self._turn().lock:
                if number < self._landed:
                    return True  # it hung, and the answer of a fetch that began later is in use
                changed = self._held.take(answer)
                # Also if nothing changed: a fork or an interrupt may have come between these two lines before.
                self._publish(answer.value)
                again, self._failures = self._failures > 0, 0
                self._good_at = time.monotonic()
                self._landed = number
        except failures as error:
            self._failed(reason_of(error), number)
            return False
        version = self._held.current.version if self._held.current is not None else ""
        # Only now does whoever reads the value get this one.
        if self._holder is not None:
            self._holder.in_use(version)
        if again:
            log.info("%s is fetched again", self._name)
        if changed:
            log.info("%s has a new value, version %s", self._name, version)
        return True

    def _failed(self, reason: str, number: int) -> None:
        with self._turn().lock:
            if number < self._landed:
                return
            self._reason = reason
            self._failures += 1
            first = self._failures == 1
        if first and not _worker.stopping():
            age = self._age()
            what = "there is no value yet" if age is None else f"the value of {age:.0f} s ago stays in use"
            log.warning("cannot refresh %s: %s; %s", self._name, reason, what)

    async def _arefresh(self, apart: float = 0.0) -> bool:
        flight, mine = self._board(apart)
        if flight is None:
            return False
        if mine:
            try:
                threading.Thread(target=self._fly_aside, args=(flight,), name="keyroll-fetch", daemon=True).start()
            except RuntimeError:
                # No thread can be had: rather hold up the loop than every task that waits for this fetch.
                return self._fly(flight)
        return await flight.ajoin()

    # What happens without being asked

    def _delay(self) -> float:
        failures = self._failures
        if not failures:
            return self._interval * random.uniform(0.9, 1.1)
        first = min(self._interval, BACKOFF_SECONDS_FIRST)
        return float(min(self._interval, first * 2 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0))

    def _run_scheduled(self) -> float:
        self._refresh(failures=FAILURES_ASIDE)
        if self._dirty:
            # The source changed while a fetch was under way, which may have read the old value.
            self._refresh(failures=FAILURES_ASIDE)
        self._announce()
        return self._delay()

    def _confirm(self, version: str) -> None:
        """The source still gives out this version."""
        with self._turn().lock:
            if self._held.current is None or self._held.current.version != version:
                return
            again, self._failures = self._failures > 0, 0
            self._good_at = time.monotonic()
        if again:
            log.info("%s is fetched again", self._name)

    def _attach(self, source: PushSource) -> Callable[[], object]:
        me = weakref.ref(self)
        holder = source.attach(lambda pushed: _delivered(me, pushed), lambda version: _confirmed(me, version))
        self._holder = holder
        last: Any = weakref.finalize(self, holder.drop)
        last.atexit = False
        return holder.stop

    def _watch(self) -> Optional[Callable[[], object]]:
        if isinstance(self._fetch_fn, PushSource):
            return self._attach(self._fetch_fn)
        watch = getattr(self._fetch_fn, "watch", None)
        if not callable(watch):
            return None
        me = weakref.ref(self)
        at_once = getattr(self._fetch_fn, "answers_at_once", False) is True
        try:
            stop: Any = watch(lambda: _pushed(me) if at_once else _changed(me))
        except Exception as error:
            kind = type(error).__name__
            log.warning("cannot watch the source of %s: %s; it is asked at its interval", self._name, kind)
            return None
        if not callable(stop):
            return None
        last: Any = weakref.finalize(self, stop)
        last.atexit = False
        # A push replaces a key that leaked: also in a secret that was stopped, as long as somebody holds it.
        return None if at_once else stop

    def _announce(self) -> None:
        """Queues the callbacks for a value that they do not know; again if the queue was full, or lost by a fork."""
        with self._turn().lock:
            current, callbacks = self._held.current, self._callbacks
            if current is None or current.serial <= self._told.serial:
                return
            if not callbacks:
                self._told.serial = current.serial
                return
            queued = (_worker.generation(), current.serial)
            if self._queued >= queued:
                return
            before, self._queued = self._queued, queued
        # Without the lock, because a full queue is logged: a newer value may be queued before this one.
        if not _worker.callback(_tell, self._told, callbacks, current):
            with self._turn().lock:
                if self._queued == queued:
                    self._queued = before


def _checked_interval(seconds: float) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError("refresh_interval_seconds is not a number")
    if not seconds >= INTERVAL_SECONDS_MIN:
        raise ValueError(f"refresh_interval_seconds is less than {INTERVAL_SECONDS_MIN} s")
    return float(seconds)


# The worker must not keep a secret that nobody holds any more: these get a weak reference to it.
_Ref = Callable[[], Optional[Background]]


def _scheduled(me: _Ref) -> float | None:
    key = me()
    return None if key is None or key._stopped else key._run_scheduled()


def _late(me: _Ref) -> float | None:
    key = me()
    if key is not None:
        key._late = None
        if not key._stopped:
            key._refresh(REJECTION_SECONDS_MIN, FAILURES_ASIDE)
    return None


def _changed(me: _Ref) -> None:
    key = me()
    if key is not None and not key._stopped:
        key._dirty = True
        if key._handle is not None:
            key._handle.now()


def _pushed(me: _Ref) -> None:
    """Takes the new value in this thread: whoever changed it can rely on it then."""
    key = me()
    if key is None:
        return
    key._fetch_once(_next_number(key))
    key._announce()
    # If a signal handler pushed while its thread was taking a value, that one may have won.
    _changed(me)


def _next_number(key: Background) -> int:
    with key._turn().lock:
        # A fetch that began before has an older answer, which is then no failure.
        key._begun += 1
        return key._begun


def _delivered(me: _Ref, pushed: Pushed) -> None:
    """Takes what the source brought, or why it can bring nothing, in the thread of the source."""
    key = me()
    if key is not None and not key._stopped:
        key._fetch_once(_next_number(key), FAILURES_ASIDE, pushed)
        key._announce()


def _confirmed(me: _Ref, version: str) -> None:
    key = me()
    if key is not None and not key._stopped:
        key._confirm(version)


def _tell(told: _Told, callbacks: tuple[Callable[[str], object], ...], kept: Kept) -> None:
    # One thread makes these calls. What is older than what was told was queued by a slower thread: nobody is to go
    # back to it.
    if kept.serial <= told.serial:
        return
    for fn in callbacks:
        _worker.call(fn, kept.value)
    told.serial = kept.serial
