"""A secret that takes its new value while the program runs."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Awaitable, Callable, NoReturn, TypeVar

from . import _worker
from ._attempt import Attempt
from ._background import REJECTION_SECONDS_MIN, Background, FetchFn
from ._follow import Follower
from ._refresh import is_refusal as names_refusal
from ._values import same
from ._versions import Kept, Versions
from .errors import SecretUnavailable

T = TypeVar("T")

CALLBACKS_MAX = 64
FALLBACK_SECONDS = 30.0
"""After a fall back, pools are drained again: their sessions of the previous value last so long at least."""


class RotatableSecret(Background):
    """The current value of one secret, fetched again every ``refresh_interval_seconds`` (±10 %).

    ``fetch_fn()`` returns text, bytes or a ``Versioned``, or an awaitable of one of them; what it raises is a failed
    fetch. It is called once here, in the thread of the caller, and later on a background thread. The constructor
    raises only for wrong arguments (TypeError, ValueError): with a source that is away, ``value`` raises
    ``SecretUnavailable`` until the first good fetch, which is tried again soon.

    ``on_rotation(new)`` is called on another thread after each change of value, not for the first value. An answer
    that is empty, a page of HTML or a placeholder (unless ``allow_placeholders``) never replaces a good value.
    ``is_refusal(error)`` names errors that mean a refused key, beside those that ``with_fallback`` knows. Without
    ``keep_previous`` the value before the current one is forgotten at once.

    The object refreshes until ``stop()``, or until nobody holds it. A forked child refreshes for itself.
    """

    # ``value`` is a slot and not a property: programs read it for every request, and a slot costs least. It is empty
    # until the first good fetch; only then ``__getattr__`` is asked.
    __slots__ = {
        "value": "The current value. Never waits. Raises SecretUnavailable until the first good fetch.",
        "_is_refusal": "",
        "_drain_at": "",
    }

    def __init__(
        self,
        secret_name: str,
        fetch_fn: FetchFn,
        refresh_interval_seconds: float = 60,
        on_rotation: Callable[[str], object] | None = None,
        *,
        allow_placeholders: bool = False,
        is_refusal: Callable[[BaseException], bool] | None = None,
        keep_previous: bool = True,
    ) -> None:
        if not isinstance(secret_name, str) or not secret_name.strip():
            raise ValueError("secret_name is empty")
        for name, function in (("fetch_fn", fetch_fn), ("on_rotation", on_rotation), ("is_refusal", is_refusal)):
            if not callable(function) and (function is not None or name == "fetch_fn"):
                raise TypeError(f"{name} is not a function")
        held = Versions(allow_placeholders=bool(allow_placeholders), keep_previous=bool(keep_previous))
        super().__init__(secret_name, fetch_fn, refresh_interval_seconds, held)
        self._is_refusal = is_refusal
        self._drain_at: _worker.Handle | None = None
        if on_rotation is not None:
            self._callbacks = (on_rotation,)
        self._start()

    if TYPE_CHECKING:

        @property
        def value(self) -> str: ...

    else:

        def __getattr__(self, name: str) -> NoReturn:
            if name == "value":
                raise SecretUnavailable(self._name, self._reason)
            raise AttributeError(f"a RotatableSecret has no attribute {name!r}")

        def __setattr__(self, name: str, new: object) -> None:
            if name == "value":
                raise AttributeError("the value of a RotatableSecret comes from its source and cannot be set")
            super().__setattr__(name, new)

        def __delattr__(self, name: str) -> NoReturn:
            raise AttributeError("a RotatableSecret keeps its attributes")

    def _publish(self, value: str) -> None:
        object.__setattr__(self, "value", value)

    def get(self, force_refresh: bool = False) -> str:
        """The current value; with ``force_refresh`` after one more fetch, whose failure leaves the last good value."""
        if force_refresh:
            self.refresh()
        return self.value

    async def aget(self, force_refresh: bool = False) -> str:
        """The current value. If there is none yet, waits for one fetch without blocking the loop."""
        if force_refresh or self._held.current is None:
            await self._arefresh()
        return self.value

    @property
    def name(self) -> str:
        """The name given to the constructor."""
        return self._name

    @property
    def version(self) -> str | None:
        """The source's name of the version, else "1", "2", … for each change of value; None before the first."""
        current = self._held.current
        return None if current is None else current.version

    @property
    def age(self) -> float | None:
        """Seconds since the last good fetch, also if it brought the same value; None before the first."""
        return self._age()

    @property
    def stats(self) -> dict[str, dict[str, int]]:
        """What ``used`` and ``with_fallback`` counted for the last 16 versions: ``{"7": {"ok": 3, "refused": 0}}``."""
        with self._turn().lock:
            return self._held.counts()

    def refresh(self) -> bool:
        """Fetches now and returns whether that succeeded. All who ask meanwhile get the result of the same fetch."""
        return self._refresh()

    def used(self, version: str | None, ok: bool, path: str = "main") -> bool:
        """Counts one use of a version and how it went; False if that version is not known. Never raises or waits.

        A source that reports uses to its server (``fetch_from_keyroll``) does so later, on another thread. ``path``
        names the part of the program that used it.
        """
        with self._turn().lock:
            known = isinstance(version, str) and self._held.count(version, bool(ok))
        if known:
            self._report(version, bool(ok), path)
        return known

    def _report(self, version: str | None, ok: bool, path: str = "main") -> None:
        if self._holder is not None and version is not None and not self._stopped:
            self._holder.used(version, ok, path)

    def rejected(self, version: str | None) -> bool:
        """The issuer refused this version: fetches at once, and returns whether another value is in use now.

        At most one fetch per second comes of it; a rejection within that second is looked into at its end. A version
        that is not known gives False.
        """
        with self._turn().lock:
            current = self._held.current
            if current is None or not isinstance(version, str) or not self._held.knows(version):
                return False
            self._report(version, False)
            if current.version != version:
                previous = self._held.previous
                if previous is not None and previous.version == version:
                    self._held.refused(previous)
                return True
        self._refresh(REJECTION_SECONDS_MIN)
        return _serial(self._held.current) != current.serial

    def compromise(self, version: str | None = None) -> None:
        """The key is in the wrong hands: ``with_fallback`` never goes back to it, now or after the next rotation.

        Without ``version`` that holds for the current and the previous value. The current one stays in use until the
        source gives another. Then it is refused if the source gives it again.
        """
        with self._turn().lock:
            self._held.compromise(version)

    def with_fallback(self, call: Callable[[str], T], *, path: str = "main") -> T:
        """Returns ``call(value)``. If that is refused: fetches, and calls once more with the other valid value.

        The other value is the newly fetched one, else the previous one. Refused is an error with the HTTP status 401
        or 403 (as httpx, requests, aiohttp, urllib and boto3 give it), the SQLSTATE 28P01 or 28000, the gRPC code
        UNAUTHENTICATED, or one that ``is_refusal`` names. Any other error passes at once, and an answer that ``call``
        returns is a success, whatever status it has. The error of the second call passes too. A previous value that
        was refused is tried again once any value was accepted since; after ``compromise`` it never is.

        ``call`` must use the value that it is given. TypeError if it is a coroutine function, or returns a coroutine.
        """
        if inspect.iscoroutinefunction(call):
            raise TypeError("call is a coroutine function: use awith_fallback")
        attempt = self.attempt(path)
        while True:
            try:
                answer = _plain(call(attempt.value))
            except Exception as error:
                following = attempt.refused() if self._refuses(error) else None
                if following is None:
                    raise
                attempt = following
            else:
                attempt.accepted()
                return answer

    async def awith_fallback(self, call: Callable[[str], Awaitable[T]], *, path: str = "main") -> T:
        """The same for a ``call`` that returns an awaitable. It does not block the loop. TypeError for a plain call."""
        attempt = await self.aattempt(path)
        while True:
            try:
                answer = await _awaitable(call(attempt.value))
            except Exception as error:
                following = await attempt.arefused() if self._refuses(error) else None
                if following is None:
                    raise
                attempt = following
            else:
                attempt.accepted()
                return answer

    def attempt(self, path: str = "main") -> Attempt:
        """One use of the current value, for code that sees itself how it went: see ``Attempt``."""
        return Attempt(self, self._first(), path)

    async def aattempt(self, path: str = "main") -> Attempt:
        """The same; if there is no value yet, waits for one fetch without blocking the loop."""
        if self._held.current is None:
            await self._arefresh()
        return self.attempt(path)

    def _accepted(self, version: str, path: str) -> None:
        self.used(version, True, path)

    def _was_accepted(self, version: str) -> bool:
        counts = self.stats.get(version)
        return counts is not None and counts["ok"] > 0

    def _may_use(self, kept: Kept) -> bool:
        return any(same(kept.value, each.value) for each in (self._held.current, self._held.previous) if each is not None)

    def _other(self, tried: Kept, path: str, look: bool, certain: bool) -> Kept | None:
        if self._refused(tried, path, certain) and look:
            self._refresh(REJECTION_SECONDS_MIN)
        return self._other_than(tried, certain)

    async def _aother(self, tried: Kept, path: str, look: bool, certain: bool) -> Kept | None:
        if self._refused(tried, path, certain) and look:
            await self._arefresh(REJECTION_SECONDS_MIN)
        return self._other_than(tried, certain)

    def _refused(self, tried: Kept, path: str, certain: bool) -> bool:
        """Counts and remembers a refusal that is certain; whether it was of the current value."""
        if certain:
            self.used(tried.version, False, path)
        with self._turn().lock:
            if certain:
                self._held.refused(tried)
            return _serial(self._held.current) == tried.serial

    def _other_than(self, tried: Kept, certain: bool) -> Kept | None:
        with self._turn().lock:
            other, current = self._held.other_than(tried), self._held.current
            if other is not None and other is not current:
                if not certain:
                    return None
                if self._drain_at is None and self._followers():
                    # A session that is opened with the value before stays open, and nothing would try the current one.
                    job = _worker.weakly(self._drain)
                    self._drain_at = _worker.schedule(FALLBACK_SECONDS, job, may_hang=False)
        return other

    def _followers(self) -> list[Follower]:
        return [each for each in self._callbacks if isinstance(each, Follower)]

    def _drain(self) -> None:
        with self._turn().lock:
            self._drain_at = None
            followers = self._followers()
        for each in followers:
            _worker.callback(each, "")

    def add_callback(self, fn: Callable[[str], object]) -> None:
        """Calls ``fn(new)`` after each later change of value, beside ``on_rotation``. At most 64 in all."""
        if not callable(fn):
            raise TypeError("fn is not a function")
        with self._turn().lock:
            kept = tuple(each for each in self._callbacks if not (isinstance(each, Follower) and each.is_gone()))
            if len(kept) >= CALLBACKS_MAX:
                raise ValueError(f"a secret has at most {CALLBACKS_MAX} callbacks")
            self._callbacks = (*kept, fn)

    def stop(self) -> None:
        """Ends the background refreshes. The last value stays readable. Can be called again."""
        self._end()

    def __enter__(self) -> RotatableSecret:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        current, age = self._held.current, self.age
        if current is None or age is None:
            return f"<RotatableSecret {self._name} no value yet>"
        return f"<RotatableSecret {self._name} version={current.version} age={age:.0f}s>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RotatableSecret cannot be pickled: make one in each process")

    def __copy__(self) -> RotatableSecret:
        return self

    def __deepcopy__(self, _memo: object) -> RotatableSecret:
        # A copy of a configuration still refers to the one secret that refreshes.
        return self

    def _first(self) -> Kept:
        current = self._held.current
        if current is None:
            raise SecretUnavailable(self._name, self._reason)
        return current

    def _refuses(self, error: Exception) -> bool:
        return names_refusal(error) or (self._is_refusal is not None and bool(self._is_refusal(error)))


def _plain(answer: T) -> T:
    if inspect.iscoroutine(answer):
        answer.close()
    elif not asyncio.isfuture(answer):
        return answer
    raise TypeError("call returned an awaitable, whose refusal would not be seen: use awith_fallback")


def _awaitable(answer: Awaitable[T]) -> Awaitable[T]:
    if not inspect.isawaitable(answer):
        raise TypeError("call did not return an awaitable: use with_fallback for a plain function")
    return answer


def _serial(kept: Kept | None) -> int:
    return 0 if kept is None else kept.serial
