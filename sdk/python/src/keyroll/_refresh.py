"""One fetch for all who ask at the same time, and what is made of its answer or its error."""

from __future__ import annotations

import asyncio
import errno
import inspect
import logging
import re
import threading
import time
from typing import Any, Awaitable, Callable, Union

from ._quiet import quietly
from ._values import Versioned, clean
from .errors import KeyrollError, RefusedValue, SourceError

log = logging.getLogger("keyroll")

Answer = Union[str, bytes, Versioned]

JOIN_SECONDS_MAX = 30.0
"""How long a caller waits for a fetch that another thread began."""
HUNG_SECONDS = 50.0
"""A fetch that takes longer no longer stands in the way of the next one. It is less than the worker's patience, so
that a run which the worker begins beside one that hangs can fetch."""
FLIGHTS_HUNG_MAX = 2
"""With this many fetches of a secret that hang, no further one begins before one of them ends."""

_REFUSALS = (401, 403)
_SQL_REFUSALS = ("28P01", "28000")  # invalid password, invalid authorization
# psycopg gives no SQLSTATE for a connection that was not made: libpq has only the server's words, in the language of
# its lc_messages. Source: src/backend/libpq/auth.c and src/backend/utils/init/miscinit.c of PostgreSQL.
_LOGIN_REFUSALS = re.compile(r"password authentication failed for user|role \".*\" is not permitted to log in")
_LOGIN_ERRORS = ("OperationalError", "AuthenticationError")  # of DB-API drivers; of redis-py
_MYSQL_REFUSAL = 1045  # ER_ACCESS_DENIED_ERROR, the first argument of PyMySQL's and mysqlclient's errors
_REDIS_REFUSALS = ("WRONGPASS", "invalid username-password pair", "invalid password")


class WholeText(str):
    """Text that ``clean`` has seen: a source of this package gives it, and no second line end is taken off it."""

    __slots__ = ()


class Flight:
    """A fetch in progress: one thread makes it, any number of threads and tasks wait for it."""

    def __init__(self, number: int = 0) -> None:
        self.number = number  # in the order of their beginnings
        self.began = time.monotonic()
        self.owner = threading.get_ident()
        self.ok = False
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._told: list[Callable[[bool], None]] = []

    def land(self, ok: bool) -> None:
        """Ends it and tells all who wait."""
        with self._lock:
            self.ok = ok
            self._done.set()
            told, self._told = self._told, []
        for tell in told:
            tell(ok)

    def join(self) -> bool:
        """Waits for its end; False if that takes too long, or if this thread itself is making it."""
        if self.owner == threading.get_ident():
            # A fetch function that asks for a refresh, or a signal handler: waiting would never end.
            return self.ok
        return self._done.wait(self._patience()) and self.ok

    def _patience(self) -> float:
        # Nobody waits for a fetch that hangs.
        return JOIN_SECONDS_MAX if time.monotonic() - self.began < HUNG_SECONDS else 0.0

    async def ajoin(self) -> bool:
        """The same for a task, without blocking its loop."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()

        def settle(ok: bool) -> None:
            if not waiter.done():
                waiter.set_result(ok)

        def tell(ok: bool) -> None:
            try:
                loop.call_soon_threadsafe(settle, ok)
            except RuntimeError:
                pass  # the loop was closed while its task waited: nobody is left to be told

        with self._lock:
            landed = self._done.is_set()
            if not landed:
                self._told.append(tell)
        if landed:
            return self.ok
        try:
            return await asyncio.wait_for(waiter, self._patience())
        except asyncio.TimeoutError:
            return False


def fetch(fetch_fn: Callable[[], object]) -> Versioned:
    """Calls the fetch function and waits for an awaitable that it returns. Its errors pass through.

    Text and bytes lose a byte order mark and one line end; a Versioned is taken as it is.
    """
    answer = fetch_fn()
    if inspect.isawaitable(answer):
        answer = _result_of(answer)
    if isinstance(answer, Versioned):
        return answer
    if isinstance(answer, (str, bytes)):
        return Versioned(str(answer) if isinstance(answer, WholeText) else clean(answer))
    if answer is None:
        raise SourceError("the fetch function returned None")
    raise RefusedValue(f"the fetch function returned a {type(answer).__name__}, not text, bytes or a Versioned")


def _result_of(answer: Awaitable[Any]) -> object:
    found: list[object] = []
    failed: list[BaseException] = []

    def wait() -> None:
        asyncio.run(quietly(lambda: answer, found, failed))

    def run() -> None:
        try:
            wait()
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            failed.append(error)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        wait()
    else:
        # This thread runs a loop already, so the awaitable gets a loop and a thread of its own.
        thread = threading.Thread(target=run, name="keyroll-fetch", daemon=True)
        thread.start()
        thread.join()
    if not failed:
        return found[0]
    if type(failed[0]) is RuntimeError:
        # What asyncio raises for objects of another loop. Its text is not shown, so the likely cause is.
        raise SourceError(
            "the fetch function raised RuntimeError; it runs in an event loop of its own: sessions, pools and locks "
            "of the program's loop cannot be used in it"
        )
    raise failed[0]


def reason_of(error: BaseException) -> str:
    """Why a fetch failed, in words that hold no value: the text of a foreign error may hold one, so it is not shown."""
    if isinstance(error, KeyrollError):
        return str(error)
    kind = type(error).__name__
    code = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    return f"the fetch function raised {kind} ({code})" if code else f"the fetch function raised {kind}"


def is_refusal(error: BaseException) -> bool:
    """Whether an error says that the key was refused, in the ways of the usual clients.

    That is the HTTP status 401 or 403, also in the answer that a boto3 error has; the SQLSTATE 28P01 or 28000, or
    PostgreSQL's words for it where psycopg has no more; MySQL's error 1045; Redis' WRONGPASS; the gRPC code
    UNAUTHENTICATED. A value that cannot be used at all (RefusedValue) counts too.
    """
    if isinstance(error, RefusedValue):
        return True
    response = _part(error, "response")
    if isinstance(response, dict):
        metadata = response.get("ResponseMetadata")
        response_status = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
    else:
        response_status = _part(response, "status_code")
    code = _part(error, "code")
    statuses = (
        _part(error, "status_code"), _part(error, "status"), code, response_status, _part(response, "status"),
    )
    if any(isinstance(each, int) and not isinstance(each, bool) and each in _REFUSALS for each in statuses):
        return True
    if any(_part(error, name) in _SQL_REFUSALS for name in ("sqlstate", "pgcode")):
        return True
    if type(error).__name__ in _LOGIN_ERRORS and _is_refused_login(error):
        return True
    return callable(code) and _part(_called(code), "name") == "UNAUTHENTICATED"


def _is_refused_login(error: BaseException) -> bool:
    words = _called(lambda: str(error)) or ""
    first = error.args[0] if error.args else None
    return (
        first == _MYSQL_REFUSAL
        or _LOGIN_REFUSALS.search(words) is not None
        or (type(error).__name__ == "AuthenticationError" and any(each in words for each in _REDIS_REFUSALS))
    )


def _part(holder: object, name: str) -> Any:
    # Some clients have attributes that raise when there is nothing to give.
    try:
        return getattr(holder, name, None)
    except Exception:
        return None


def _called(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception:
        return None
