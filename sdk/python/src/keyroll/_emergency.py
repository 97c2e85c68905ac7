"""An endpoint by which a running program is given a new key: by two lines of curl, without a restart."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import threading
import time
import weakref
from collections import deque
from functools import partial
from typing import Any, Callable, Iterable, NamedTuple, NoReturn, Sequence

from ._check import Accept, Check
from ._http import Answer, BodyReader, Handler, Headers, Refused, Server, is_loopback, ok, problem, why_foreign
from ._mount import ASGI, aiohttp_routes, asgi_app
from ._request import asked, given_token
from ._teller import News, Teller
from ._values import Versioned, digest, fingerprint, same, why_refused
from .errors import RefusedValue, SecretUnavailable

TURN_SECONDS = 30.0
GUESSES_MAX = 20
GUESS_SECONDS = 60.0
NAME_MAX = 128
LOG_MAX = 10
REPLACED_MAX = 16
TOKEN_CHARACTERS_WARNED = 16
PAGES = {"/rotate-secret": ("POST",), "/secret-status": ("GET", "HEAD")}

log = logging.getLogger("keyroll")
# One lock for all controllers, never held while anything waits. It is held across a fork, so that the child does not
# get it locked by a thread that it does not have.
_LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


class _Held(NamedTuple):
    value: str
    number: int
    compromised: bool

    def __repr__(self) -> str:
        return f"<value number={self.number}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a value that is held cannot be pickled")


class _Rotation(NamedTuple):
    secret: str
    rotated_at: int
    old_hash: str
    new_hash: str


class EmergencyRotationController:
    """Holds secrets by name, and takes new values for them by HTTP from whoever has the admin token.

    Parameters:
        admin_token: printable ASCII without blanks; ValueError if it is empty. Fewer than 16 characters: a warning.
        accept: ``accept(name, value) -> bool``, also async: is asked before a value is used, for example by a call
            to the issuer. Anything but True, an exception, or 20 s without an answer is a no. One that is not async
            runs in a thread; it cannot be stopped there, so it should have a time limit of its own.
        on_rotation: ``on_rotation(name, new)`` after each change of a value, by HTTP or by ``set_secret``, not after
            the first; on the thread for callbacks. While callbacks hang, the newest value of each name waits.
        allow_placeholders: take values such as ``changeme`` too.
        max_body_bytes: the largest body of a request.
        previous_admin_token: is valid too, so that the token can be changed in two steps.

    The values are in memory alone: after a crash or a restart the program has what it is started with. Each process
    has its own: a push reaches the one that answers it, and no other worker. A forked child has the values of its
    parent at that time. It cannot be pickled.
    """

    def __init__(
        self, admin_token: str, *, accept: Accept | None = None,
        on_rotation: Callable[[str, str], object] | None = None, allow_placeholders: bool = False,
        max_body_bytes: int = 65536, previous_admin_token: str | None = None,
    ) -> None:
        tokens = [admin_token] if previous_admin_token is None else [admin_token, previous_admin_token]
        # Their length does not show in a comparison of digests.
        self._tokens = [digest(_checked_token(token)) for token in tokens]
        if not isinstance(max_body_bytes, int) or isinstance(max_body_bytes, bool) or max_body_bytes < 1:
            raise ValueError("max_body_bytes must be a whole number above 0")
        for name, function in (("accept", accept), ("on_rotation", on_rotation)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function")
        if any(len(token) < TOKEN_CHARACTERS_WARNED for token in tokens):
            log.warning("an admin token has fewer than %d characters: it can be guessed", TOKEN_CHARACTERS_WARNED)
        self._check = None if accept is None else Check(accept)
        self._teller = None if on_rotation is None else Teller(on_rotation, self._newest)
        self._allow_placeholders, self._max_body_bytes = allow_placeholders, max_body_bytes
        self._held: dict[str, _Held] = {}
        # Digests of the values that pushes replaced: whoever pushes one again would put a leaked key back.
        self._replaced: dict[str, deque[bytes]] = {}
        self._log: deque[_Rotation] = deque(maxlen=LOG_MAX)
        self._guesses: deque[float] = deque(maxlen=GUESSES_MAX)
        self._watchers: dict[str, dict[object, Callable[[], object]]] = {}
        # A lock of asyncio belongs to one loop.
        self._turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]]
        self._turns = weakref.WeakKeyDictionary()
        self._server: Server | None = None

    def set_secret(self, name: str, value: str) -> None:
        """Holds ``value`` under ``name``; from then on it can be replaced by HTTP.

        A later call replaces what is there, also a value that was pushed: the program's own word counts. So do not
        call it again with what the program was started with. It is an ordinary change: while nothing was pushed, the
        value before it may still be fallen back to. A value that is pushed by HTTP is the answer to a leak: what was
        there before it is neither fallen back to nor taken by HTTP again (the last 16 of each name).

        Raises ValueError for a name that is empty, longer than 128 characters or not printable, RefusedValue for a
        value that must not be used. Then nothing is changed.
        """
        if not isinstance(name, str) or not name.strip() or len(name) > NAME_MAX or not name.isprintable():
            raise ValueError(f"the name of a secret must be 1 to {NAME_MAX} printable characters")
        why = why_refused(value, allow_placeholders=self._allow_placeholders)
        if why is not None:
            raise RefusedValue(f"the value of {name} {why}")
        self._swap(name, value, compromised=False)

    def get_secret(self, name: str) -> str:
        """The value now. Raises SecretUnavailable for a name that was never set."""
        return self._get(name).value

    def names(self) -> list[str]:
        """The names that were set, sorted."""
        return sorted(list(self._held))

    def source(self, name: str) -> Pushed:
        """A ``fetch_fn`` for RotatableSecret that gives this secret.

        A new value is in use there before a push is answered and before ``set_secret`` returns, also after the
        secret's ``stop()``. Only a secret that refuses the value (a placeholder, if it was made without
        ``allow_placeholders``) keeps its own, with a warning.
        """
        return Pushed(self, name)

    @property
    def port(self) -> int:
        """The port that is served; RuntimeError if none is."""
        if self._server is None:
            raise RuntimeError("the endpoint is not served: await start() first")
        return self._server.port

    async def start(
        self, host: str = "127.0.0.1", port: int = 9090, *, plain: str | None = None, allowed_hosts: Iterable[str] = ()
    ) -> None:
        """Serves ``POST /rotate-secret`` and ``GET /secret-status`` until ``stop()``.

        ``host`` is an address of loopback or ``localhost`` (127.0.0.1); another one is a ValueError unless
        ``plain="trusted-network"``, since neither token nor value is encrypted on the way. Port 0 takes a free one,
        see ``port``. ``allowed_hosts`` are further names, without a port, by which callers reach it. RuntimeError if
        it is served already, OSError that names the port if it cannot be had.
        """
        if plain not in (None, "trusted-network"):
            raise ValueError('plain must be None or "trusted-network"')
        if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
            raise ValueError("port must be a whole number from 0 to 65535")
        if not is_loopback(host) and plain is None:
            raise ValueError(
                "host is not loopback: tokens and values would cross the network in plain text. Use 127.0.0.1 and a "
                'tunnel (ssh -L), or say plain="trusted-network"'
            )
        if self._server is not None:
            if not self._server.is_dead:
                raise RuntimeError("the endpoint is served already")
            self._server.close()
        address = "127.0.0.1" if host.lower() == "localhost" else host.strip("[]")
        hosts = _hosts([address or "0.0.0.0", *_hosts(allowed_hosts)])
        server = self._server = Server(partial(self.handle, hosts=hosts))
        try:
            await server.start(address, port)
        except BaseException:
            self._server = None
            raise

    async def stop(self) -> None:
        """Serves nobody any more; waits up to 5 s for requests in flight. Can be called again."""
        server = self._server
        if server is not None:
            await server.stop()
            if self._server is server:
                self._server = None

    def asgi(self, *, allowed_hosts: Iterable[str] = ()) -> ASGI:
        """The endpoint as an ASGI 3 program, for example ``app.mount("/admin", ctl.asgi())``.

        It answers on loopback names; ``allowed_hosts`` are further names by which callers reach the program.
        """
        return asgi_app(self._handler(allowed_hosts))

    def aiohttp_routes(self, *, allowed_hosts: Iterable[str] = ()) -> list[Any]:
        """The endpoint for ``app.add_routes(…)`` of aiohttp; names as for ``asgi``. ImportError without aiohttp."""
        return aiohttp_routes(self._handler(allowed_hosts), list(PAGES))

    def _handler(self, allowed_hosts: Iterable[str]) -> Handler:
        return partial(self.handle, hosts=_hosts(allowed_hosts))

    async def handle(
        self, method: str, path: str, headers: Headers, read_body: BodyReader, *, hosts: Sequence[str] = ()
    ) -> Answer:
        """Answers one request, however it came. Header names are in lower case."""
        foreign = why_foreign(headers, hosts)
        if foreign is not None:
            return problem(403, foreign)
        denied = self._why_denied(headers)
        if denied is not None:
            return denied
        methods = PAGES.get(path)
        if methods is None:
            return problem(404, "no such page: POST /rotate-secret, GET /secret-status")
        if method not in methods:
            return problem(405, f"this page has only {methods[0]}", ("allow", ", ".join(methods)))
        if path == "/secret-status":
            return ok({"secrets": self.names(), "rotation_log": [entry._asdict() for entry in self._rotations()]})
        try:
            return await self._rotate(*asked(await read_body(self._max_body_bytes)))
        except Refused as refused:
            return refused.answer

    def _why_denied(self, headers: Headers) -> Answer | None:
        given = digest(given_token(headers))
        # All are compared, so that the time does not tell which one was nearly right.
        if sum(hmac.compare_digest(given, token) for token in self._tokens):
            return None
        now = time.monotonic()
        with _LOCK:
            while self._guesses and now - self._guesses[0] >= GUESS_SECONDS:
                self._guesses.popleft()
            if len(self._guesses) == GUESSES_MAX:
                after = int(GUESS_SECONDS - (now - self._guesses[0])) + 1
                why = "too many requests without a valid token; one with a valid token is answered"
                return problem(429, why, ("retry-after", str(after)))
            self._guesses.append(now)
        log.warning("the emergency endpoint refused a request: no valid token")
        why = "send the token once, as X-Admin-Token: TOKEN or as Authorization: Bearer TOKEN"
        return problem(401, f"the request has no valid token: {why}", ("www-authenticate", "Bearer"))

    async def _rotate(self, name: str, value: str) -> Answer:
        if name not in self._held:
            # The name is not repeated: a caller who mixes up the fields sends the value there.
            raise Refused(problem(404, "no secret has this name; GET /secret-status lists them"))
        why = why_refused(value, allow_placeholders=self._allow_placeholders)
        if why is not None:
            raise Refused(problem(400, f"new_value {why}; nothing was changed"))
        turn = self._turns.setdefault(asyncio.get_running_loop(), {}).setdefault(name, asyncio.Lock())
        try:
            await asyncio.wait_for(turn.acquire(), TURN_SECONDS)
        except asyncio.TimeoutError:
            busy = "another rotation of this secret is being checked; nothing was changed"
            raise Refused(problem(503, busy, ("retry-after", "20"))) from None
        try:
            self._refuse_known(name, value)
            if self._check is not None:
                await self._check(name, value)
            self._swap(name, value, compromised=True)
        finally:
            turn.release()
        return ok({"status": "rotated", "secret_name": name, "new_hash": fingerprint(value)})

    def _get(self, name: str) -> _Held:
        held = self._held.get(name)
        if held is None:
            raise SecretUnavailable(name, "it was never set")
        return held

    def _refuse_known(self, name: str, value: str) -> None:
        """Raises Refused if a push of this value would change nothing, or put a leaked key back."""
        if same(self._get(name).value, value):
            raise Refused(problem(409, "new_value is the value in use already; nothing was changed"))
        if digest(value) in self._replaced.get(name, ()):
            why = "new_value was replaced by a push before, as one that may be in the wrong hands"
            raise Refused(problem(409, f"{why}; nothing was changed"))

    def _rotations(self) -> list[_Rotation]:
        with _LOCK:
            return list(self._log)

    def _swap(self, name: str, value: str, *, compromised: bool) -> None:
        with _LOCK:
            if compromised:
                # Again: turns are those of one loop, and another one may have changed the value during the check.
                self._refuse_known(name, value)
            before = self._held.get(name)
            if before is not None and same(before.value, value):
                return
            number = 1 if before is None else before.number + 1
            if compromised and before is not None:
                self._replaced.setdefault(name, deque(maxlen=REPLACED_MAX)).append(digest(before.value))
            # It stays: a reader may have missed the value in between, and would fall back to the leaked one.
            compromised = compromised or (before is not None and before.compromised)
            self._held[name] = _Held(value, number, compromised)
            if before is not None:
                now = int(time.time())
                self._log.append(_Rotation(name, now, fingerprint(before.value), fingerprint(value)))
            watchers = list(self._watchers.get(name, {}).values())
        for watcher in watchers:
            try:
                watcher()
            except Exception as error:  # noqa: BLE001 - the value is in use, whatever a watcher does
                log.warning("a watcher of %s failed: %s", name, type(error).__name__)
        if before is not None and self._teller is not None:
            self._teller.tell(name)

    def _newest(self, name: str) -> News | None:
        held = self._held.get(name)
        return None if held is None else (held.number, (name, held.value))

    def _watch(self, name: str, watcher: Callable[[], object]) -> Callable[[], None]:
        key = object()
        with _LOCK:
            self._watchers.setdefault(name, {})[key] = watcher

        def stop() -> None:
            # It is called when a secret is collected too, which may be in this thread within any line above.
            with _LOCK:
                self._watchers[name].pop(key, None)

        return stop

    def __repr__(self) -> str:
        served = "not served" if self._server is None else f"port={self._server.port}"
        return f"<EmergencyRotationController secrets={len(self._held)} {served}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an EmergencyRotationController cannot be pickled: it holds secrets")


class Pushed:
    """One secret of a controller, as a ``fetch_fn`` for RotatableSecret.

    A value that came by HTTP is marked as the answer to a leak: the one before it is never used again.
    """

    # It is a look into memory: a secret takes the value in the thread that changed it.
    answers_at_once = True

    def __init__(self, controller: EmergencyRotationController, name: str) -> None:
        self._controller, self._name = controller, name

    def __call__(self) -> Versioned:
        held = self._controller._get(self._name)
        return Versioned(held.value, version=str(held.number), order=held.number, compromised=held.compromised)

    def watch(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Calls ``callback()`` after each change, in the thread that changed it; returns the function that ends it."""
        return self._controller._watch(self._name, callback)

    def __repr__(self) -> str:
        return f"<Pushed {self._name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("the source of a controller cannot be pickled: it holds secrets")


def _checked_token(token: object) -> str:
    if not isinstance(token, str):
        raise TypeError("an admin token must be text")
    if not token.strip():
        raise ValueError("an admin token is empty")
    if any(not "!" <= character <= "~" for character in token):
        # No header can carry it: nobody would ever be let in.
        raise ValueError("an admin token has a blank, a line end or a character that is not printable ASCII")
    return token


def _hosts(names: Iterable[str]) -> list[str]:
    if isinstance(names, str):
        raise TypeError("allowed_hosts must be a list of names")
    return [name.strip("[]").lower() for name in names]
