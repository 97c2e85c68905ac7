"""A token that is asked for, used until shortly before its end, and replaced by a new one in time."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import threading
import time
from typing import Any, Callable, Mapping, NoReturn

from . import _worker
from ._attempt import Attempt
from ._flight import Flight, crowded
from ._http import settled
from ._oauth import Clock, Endpoint, Failed, Given, Secret, Token, number, read_fields
from ._teller import News, Teller
from ._values import same, why_refused
from ._versions import Kept
from .errors import KeyrollError, TokenUnavailable

BACKOFF_SECONDS_MAX = 60.0
# Ahead of time, a token is asked for at most once in this time, however short its life.
AHEAD_SECONDS_MIN = 1.0
# A wait of the worker does not go on while the machine sleeps, so it looks now and then.
LOOK_SECONDS_MAX = 3600.0

log = logging.getLogger("keyroll")
# One lock for all managers, never held while anything waits. It is held across a fork, so that the child does not get
# it locked by a thread that it does not have.
_LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


class SelfExpiringTokenManager:
    """Keeps an access token of OAuth 2 client credentials valid.

    Parameters:
        refresh_url: the token endpoint; https, or http on loopback, else ValueError (unless ``plain=True``).
        client_id, client_secret: the secret is a text, a function, or a RotatableSecret; it is read at each request.
        token_lifetime_seconds: for an answer without a usable ``expires_in`` (at least 1): it counts as expired at half
            of this.
        refresh_before_expiry_seconds: a new token is asked for so long before the end; at most half the life.
        scope, extra: further fields of the form. auth: "post" or "basic" (RFC 6749, 2.3.1).
        timeout_seconds: for the whole request. Redirects are not followed.
        fetch_fn: asks for a token instead of the endpoint: ``fetch_fn()`` returns the fields of an answer
            (``{"access_token": …, "expires_in": …}``) or the token as a text. The parameters of the request are not needed.
        on_rotation: ``on_rotation(new)`` after each change, not after the first; on the thread for callbacks. While
            callbacks hang, the newest token waits.

    The first use asks; the constructor does not. All callers share one request. While a token is valid it is given at
    once, and a request that fails changes nothing but the time of the next one: after 1 s, doubling to 60 s, with
    jitter, and one warning. After the end of the token callers get TokenUnavailable with the reason.

    The token is in memory alone. A forked child keeps it and refreshes for itself. It cannot be pickled.
    """

    def __init__(
        self, refresh_url: str = "", client_id: str = "", client_secret: object = "", token_lifetime_seconds: float = 3600,
        refresh_before_expiry_seconds: float = 300, *, scope: str | None = None,
        extra: Mapping[str, str] | None = None, auth: str = "post", timeout_seconds: float = 10,
        fetch_fn: Callable[[], Mapping[str, Any] | str] | None = None,
        on_rotation: Callable[[str], object] | None = None, plain: bool = False, _clock: Clock = time,
    ) -> None:
        number("token_lifetime_seconds", token_lifetime_seconds, above=0)
        number("timeout_seconds", timeout_seconds, above=0)
        number("refresh_before_expiry_seconds", refresh_before_expiry_seconds, above=None)
        for name, function in (("fetch_fn", fetch_fn), ("on_rotation", on_rotation)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function")
        self._fetch_fn = fetch_fn
        self._endpoint: Endpoint | None = None
        self._secret: Secret | None = None
        if fetch_fn is None:
            self._secret = Secret(client_secret)
            self._endpoint = Endpoint(
                refresh_url, client_id, scope=scope, extra=extra, auth=auth, timeout_seconds=timeout_seconds,
                plain=plain,
            )
        self._lifetime, self._margin = float(token_lifetime_seconds), float(refresh_before_expiry_seconds)
        self._timeout, self._clock = float(timeout_seconds), _clock
        self._teller = None if on_rotation is None else Teller(on_rotation, self._newest)
        self._token: Token | None = None
        self._version = 0
        self._flight: Flight | None = None
        self._hanging: list[Flight] = []
        self._failures, self._retry_at, self._why = 0, -math.inf, "no token was fetched yet"
        self._rejected_at = -math.inf
        self._handle: _worker.Handle | None = None
        self._stopped = False

    @property
    def token(self) -> str:
        """A valid token; waits for one only if there is none. Raises TokenUnavailable with the reason."""
        return self.get()

    def get(self) -> str:
        """The same as ``token``."""
        token = self._valid()
        if token is None:
            flight = self._fly(only_if_invalid=True)
            self._wait(flight)
            token = self._after(flight)
        return token

    async def aget(self) -> str:
        """The same as ``token``, without blocking the loop."""
        token = self._valid()
        if token is None:
            flight = self._fly(only_if_invalid=True)
            if flight is not None and not await settled(flight.done, self._timeout + 1):
                self._give_up(flight)
            token = self._after(flight)
        return token

    @property
    def version(self) -> str | None:
        """The number of the token, "1" and up; None before the first."""
        token = self._token
        return None if token is None else str(token.version)

    @property
    def expires_in(self) -> float:
        """Seconds until the token ends; 0.0 if there is none. Asks for nothing."""
        token = self._token
        return 0.0 if token is None else max(0.0, self._left(token))

    def refresh(self) -> bool:
        """Asks for a new token now, and waits; whether it came. After a failure no request is sent until its pause is
        over: then this is False at once."""
        flight = self._fly()
        self._wait(flight)
        return flight is not None and flight.done.done() and flight.done.result() is None

    def rejected(self, token_or_version: object) -> bool:
        """The program says that this token (or version) was refused. Asks for a new one and waits, at most once a
        second; whether another token is there now. The token stays in use until another one is there."""
        token = self._token
        if token is None or not (same(token_or_version, token.value) or str(token.version) == str(token_or_version)):
            return token is not None and self._left(token) > 0
        self._clear()
        with _LOCK:
            now, flight, is_new = self._clock.monotonic(), self._flight, False
            if self._token is token and now - self._rejected_at >= 1.0:
                self._rejected_at = now
                flight, is_new = self._begin()
        self._start(flight, is_new)
        self._wait(flight)
        newer = self._token
        return newer is not None and not same(newer.value, token.value)

    def attempt(self, path: str = "main") -> Attempt:
        """One use of the token, for code that sees itself how it went: see ``Attempt``. ``path`` is of no use here."""
        return Attempt(self, self._kept(self.get()), path)

    async def aattempt(self, path: str = "main") -> Attempt:
        """The same, without blocking the loop."""
        return Attempt(self, self._kept(await self.aget()), path)

    def _kept(self, value: str) -> Kept:
        token = self._token
        # Another token may be there by now; of the one that was given only the value is known.
        number = token.version if token is not None and same(token.value, value) else 0
        return Kept(value, str(number), None, number)

    def _accepted(self, version: str, path: str) -> None:
        """Nobody counts the uses of a token."""

    def _was_accepted(self, version: str) -> bool:
        return False

    def _may_use(self, kept: Kept) -> bool:
        token = self._token
        return token is not None and same(token.value, kept.value)

    def _other(self, tried: Kept, path: str, look: bool, certain: bool) -> Kept | None:
        if not look:
            return None
        self.rejected(tried.value)
        try:
            other = self.get()
        except TokenUnavailable:
            return None
        return None if same(other, tried.value) else self._kept(other)

    async def _aother(self, tried: Kept, path: str, look: bool, certain: bool) -> Kept | None:
        return await asyncio.to_thread(self._other, tried, path, look, certain)

    def invalidate(self) -> None:
        """Forgets the token: the next use asks for another one."""
        with _LOCK:
            self._token = None

    def stop(self) -> None:
        """Asks for nothing any more. The token is given until its end. Can be called again."""
        with _LOCK:
            self._stopped = True
            handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()

    def __enter__(self) -> SelfExpiringTokenManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = " stopped" if self._stopped else ""
        return f"<SelfExpiringTokenManager version={self.version} expires_in={self.expires_in:.0f}s{state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SelfExpiringTokenManager cannot be pickled: it holds a secret")

    def _peek(self) -> str | None:
        """The token that is held, valid or not; asks for nothing. What looks for it in a text needs it."""
        token = self._token
        return None if token is None else token.value

    def _left(self, token: Token) -> float:
        return token.left(self._clock)

    def _ahead(self, token: Token) -> float:
        return min(self._margin, token.life / 2)

    def _valid(self) -> str | None:
        token = self._token
        if token is None:
            return None
        left = self._left(token)
        if left <= 0:
            return None
        if left <= self._ahead(token) and not self._stopped:
            self._look_now()
        return token.value

    def _look_now(self) -> None:
        self._clear()
        with _LOCK:
            handle = self._handle if self._flight is None and self._may_ask() else None
        if handle is not None:
            handle.now()

    def _may_ask(self) -> bool:
        return not self._stopped and self._clock.monotonic() >= self._retry_at

    def _clear(self) -> None:
        """Gives up a request that takes too long. One that began before a fork is not this process's."""
        with _LOCK:
            flight = self._flight
            if flight is not None and flight.generation != _worker.generation():
                self._flight = flight = None
            self._hanging = [each for each in self._hanging if each.generation == _worker.generation()]
        # Not under the lock: it writes to the log.
        if flight is not None and self._clock.monotonic() - flight.begun > self._timeout + 1:
            self._give_up(flight)

    def _fly(self, *, only_if_invalid: bool = False) -> Flight | None:
        """The request under way, or a new one; None while none may be sent."""
        self._clear()
        with _LOCK:
            token = self._token
            # Somebody else's request may have ended since the caller looked.
            if only_if_invalid and self._flight is None and token is not None and self._left(token) > 0:
                return None
            flight, is_new = self._begin()
        self._start(flight, is_new)
        return flight

    def _begin(self) -> tuple[Flight | None, bool]:
        """The same, under the lock; and whether it is new and must be started."""
        if self._flight is not None or not self._may_ask():
            return self._flight, False
        self._flight = Flight(self._clock.monotonic())
        return self._flight, True

    def _start(self, flight: Flight | None, is_new: bool) -> None:
        if flight is None or not is_new:
            return
        if crowded(list(self._hanging), flight.begun):
            self._land(flight, Failed("earlier requests for a token still hang"))
            return
        try:
            # A thread of its own: what hangs in it holds up neither the caller beyond its time nor the worker.
            threading.Thread(target=self._run, args=(flight,), name="keyroll-token", daemon=True).start()
        except RuntimeError:
            self._land(flight, Failed("no thread can be started"))

    def _wait(self, flight: Flight | None) -> None:
        if flight is not None:
            try:
                flight.done.result(self._timeout + 1)
            except Exception:  # noqa: BLE001 - only the time can be over: `done` never has an error
                self._give_up(flight)

    def _give_up(self, flight: Flight) -> None:
        with _LOCK:
            if self._flight is flight:
                self._hanging.append(flight)
        self._land(flight, Failed(f"no answer within {self._timeout:g} s"))

    def _after(self, flight: Flight | None) -> str:
        """The token after a wait. One that has just come is given even if its life is over already: there is no
        better one."""
        token = self._token
        if flight is not None and flight.done.done() and flight.done.result() is None and token is not None:
            return token.value
        if token is not None and self._left(token) > 0:
            return token.value
        raise TokenUnavailable("the manager was stopped" if self._stopped else self._why)

    def _run(self, flight: Flight) -> None:
        outcome: Given | Failed
        try:
            outcome = self._ask()
        except Failed as failed:
            outcome = failed
        except KeyrollError as error:
            outcome = Failed(str(error))
        except BaseException as error:  # noqa: BLE001 - nobody else would tell those who wait
            outcome = Failed(f"the request failed ({type(error).__name__})")
        self._land(flight, outcome)
        with _LOCK:
            if flight in self._hanging:
                self._hanging.remove(flight)

    def _ask(self) -> Given:
        if self._fetch_fn is not None:
            answer = self._fetch_fn()
            if isinstance(answer, str):
                return Given(answer, None)
            if not isinstance(answer, Mapping):
                raise Failed("fetch_fn returned neither a text nor the fields of an answer")
            return read_fields(answer)
        assert self._endpoint is not None and self._secret is not None
        version = self._secret.version
        try:
            return self._endpoint.ask(self._secret.get())
        except Failed as failed:
            # The secret may have been rotated since it was read.
            if not failed.client_refused or not self._secret.rejected(version):
                raise
        return self._endpoint.ask(self._secret.get())

    def _land(self, flight: Flight, outcome: Given | Failed) -> None:
        """Ends the request: the new token is in use, or the pause before the next request is set."""
        why: str | None = None
        value = ""
        if isinstance(outcome, Given):
            refused = why_refused(outcome.token)
            why = None if refused is None else f"the access_token {refused}"
            value = outcome.token if isinstance(outcome.token, str) else ""
        else:
            why = str(outcome)
        changed = False
        with _LOCK:
            if self._flight is not flight:
                return
            self._flight = None
            failures = self._failures
            if why is None and isinstance(outcome, Given):
                before = self._token
                life = self._lifetime / 2 if outcome.life is None else outcome.life
                if before is None or not same(before.value, value):
                    self._version += 1
                    # Also after invalidate(): whoever was told of the forgotten one must learn of this one.
                    changed = self._version > 1
                self._token = Token(value, self._version, self._clock.monotonic(), self._clock.time(), life)
                self._failures = 0
            else:
                self._failures += 1
                pause = min(BACKOFF_SECONDS_MAX, 2.0 ** min(failures, 10))
                self._retry_at = self._clock.monotonic() + pause * (1 + random.random() / 4)
                self._why = why or ""
        self._tell(why, failures, changed)
        flight.done.set_result(why)
        self._arm()

    def _tell(self, why: str | None, failures: int, changed: bool) -> None:
        if why is not None and failures == 0 and not _worker.stopping():
            kept = "; the old one is used until its end" if self.expires_in > 0 else ""
            log.warning("no new token: %s%s", why, kept)
        if why is None and failures > 0:
            log.info("a new token came after %d failed requests", failures)
        if changed and self._teller is not None:
            self._teller.tell()

    def _newest(self, _: str) -> News | None:
        token = self._token
        return None if token is None else (token.version, (token.value,))

    def _arm(self) -> None:
        """Lets the worker look when the next request is due."""
        with _LOCK:
            if self._stopped or self._token is None:
                return
            handle = self._handle
            if handle is None:
                self._handle = _worker.schedule(self._due() or 0.0, _worker.weakly(self._look), may_hang=False)
        if handle is not None:
            handle.now()

    def _due(self) -> float | None:
        """Seconds until a request ahead of time is due; None without a token."""
        token = self._token
        if token is None or self._stopped:
            return None
        now = self._clock.monotonic()
        due = self._left(token) - self._ahead(token)
        return max(0.0, due, token.got + AHEAD_SECONDS_MIN - now, self._retry_at - now)

    def _look(self) -> float | None:
        """What the worker runs. It never waits; the end of the request makes it run again."""
        self._clear()
        with _LOCK:
            due = self._due()
            flight, is_new = self._flight, False
            if due is not None and due <= 0:
                flight, is_new = self._begin()
        self._start(flight, is_new)
        if self._stopped:
            return None
        if flight is not None:
            return self._timeout + 2
        return LOOK_SECONDS_MAX if due is None else min(max(due, 0.01), LOOK_SECONDS_MAX)
