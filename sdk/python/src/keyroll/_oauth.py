"""One request for a token: OAuth 2 client credentials (RFC 6749, 4.4), by urllib."""

from __future__ import annotations

import base64
import http.client
import json
import math
import os
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any, Callable, Mapping, NamedTuple, NoReturn, Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

from ._deadline import Http, Https, NoRedirect
from ._http import is_loopback

ANSWER_BYTES_MAX = 1024 * 1024
LIFE_SECONDS_MIN = 1.0
LIFE_SECONDS_MAX = 10 * 365 * 24 * 3600.0
# The words of RFC 6749, 5.2. Any other text of the answer may repeat what was sent.
ERRORS = frozenset(
    "invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type invalid_scope".split()
)
RESERVED = frozenset(("grant_type", "client_id", "client_secret", "scope"))


class Clock(Protocol):
    """The two clocks of the module `time`."""

    def monotonic(self) -> float: ...

    def time(self) -> float: ...


class Token(NamedTuple):
    """A token in use; ``got`` and ``got_wall`` are the times of the two clocks when it came, ``life`` is in seconds."""

    value: str
    version: int
    got: float
    got_wall: float
    life: float

    def left(self, clock: Clock) -> float:
        """Seconds until its end; negative after it."""
        passed = clock.monotonic() - self.got
        # While a machine sleeps, the monotonic clock of Linux stands still and the token does not. The wall clock may
        # be set back, which must not lengthen a life; set ahead, it costs one request. Less than a second is drift.
        passed_wall = clock.time() - self.got_wall
        return self.life - (passed_wall if passed_wall > passed + 1.0 else passed)

    def __repr__(self) -> str:
        return f"<Token version={self.version}>"


class Given(NamedTuple):
    """What an endpoint gave. ``life`` is in seconds; None if it did not say, or nothing usable."""

    token: object
    life: float | None

    def __repr__(self) -> str:
        return f"<Given life={self.life}>"


class Failed(Exception):
    """No token. The message says why and holds no part of the answer. ``client_refused``: the secret may be old."""

    def __init__(self, why: str, *, client_refused: bool = False) -> None:
        super().__init__(why)
        self.client_refused = client_refused


class Endpoint:
    """Where and how tokens are asked for. Raises ValueError for what can never work, before anything is sent."""

    def __init__(
        self, url: str, client_id: str, *, scope: str | None, extra: Mapping[str, str] | None, auth: str,
        timeout_seconds: float, plain: bool,
    ) -> None:
        parts = urlsplit(url)
        _ = parts.port  # ValueError if it is none
        local = is_loopback(parts.hostname or "")
        if not parts.hostname or parts.scheme not in ("https", "http"):
            raise ValueError("refresh_url must be an https URL")
        if parts.scheme == "http" and not local and not plain:
            raise ValueError("refresh_url is http: the client secret would cross the network in plain text; use https")
        if parts.username is not None or parts.password is not None:
            raise ValueError("refresh_url has a user in it: give client_id and client_secret instead")
        if auth not in ("post", "basic"):
            raise ValueError('auth must be "post" or "basic"')
        if not isinstance(client_id, str) or not client_id:
            raise ValueError("client_id must be a text that is not empty")
        taken = RESERVED.intersection(extra or {})
        if taken:
            raise ValueError(f"extra must not have {sorted(taken)[0]}")
        self._url, self._client_id, self._auth, self._timeout = url, client_id, auth, timeout_seconds
        form = {"grant_type": "client_credentials", **(extra or {})}
        if scope is not None:
            form["scope"] = scope
        # A function: `extra` may hold a secret, and vars() is not to show it.
        self._form = form.copy
        handlers: list[urllib.request.BaseHandler] = [NoRedirect(), Http(), Https()]
        if local:
            # A proxy of the environment would see the secret, and does not reach this machine anyway.
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, secret: str) -> Given:
        """Sends one request. Raises Failed."""
        form, headers = self._form(), {"accept": "application/json", "user-agent": "keyroll-python"}
        if self._auth == "basic":
            # RFC 6749, 2.3.1: both are encoded as in a form before they are joined.
            pair = f"{quote_plus(self._client_id)}:{quote_plus(secret)}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")
        else:
            form.update(client_id=self._client_id, client_secret=secret)
        request = urllib.request.Request(self._url, urlencode(form).encode("ascii"), headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                body = answer.read(ANSWER_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            with error:
                failed = _refusal(error)
        except Exception as error:  # noqa: BLE001 - its text may hold a part of the answer
            failed = Failed(_in_words(error, self._timeout))
        else:
            return _read(body)
        # Outside of the handlers, so that their errors are not shown along with this one.
        raise failed


def _refusal(error: urllib.error.HTTPError) -> Failed:
    code = ""
    try:
        found = json.loads(error.read(64 * 1024).decode("utf-8"))["error"]
        code = found if isinstance(found, str) and found in ERRORS else ""
    except Exception:  # noqa: BLE001 - the status says enough
        pass
    shown = f"the token endpoint answered {error.code} {code}".rstrip()
    if 300 <= error.code < 400:
        shown += " (a redirect; it is not followed)"
    return Failed(shown, client_refused=error.code == 401 or code == "invalid_client")


def _in_words(error: BaseException, timeout: float) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, (socket.timeout, TimeoutError)):
        return f"the token endpoint did not answer within {timeout:g} s"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "the certificate of the token endpoint is not valid"
    if isinstance(cause, ssl.SSLError):
        return "no TLS connection to the token endpoint"
    if isinstance(cause, socket.gaierror):
        return "the name of the token endpoint is not known"
    if isinstance(cause, http.client.HTTPException):
        return "the token endpoint did not answer in HTTP"
    if isinstance(cause, OSError) and cause.errno:
        return f"the token endpoint is not reached: {os.strerror(cause.errno).lower()}"
    return f"the token endpoint is not reached ({type(cause).__name__})"


def _read(body: bytes) -> Given:
    if len(body) > ANSWER_BYTES_MAX:
        raise Failed("the token endpoint answered more than 1 MiB")
    try:
        answer = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise Failed("the token endpoint answered something that is no JSON object")
    return read_fields(answer)


def read_fields(answer: Mapping[str, Any]) -> Given:
    """The token and its life from the fields of an answer."""
    if "access_token" not in answer:
        raise Failed("the answer has no access_token")
    return Given(answer["access_token"], _life(answer.get("expires_in")))


def _life(given: object) -> float | None:
    """Some endpoints send the number as a text. True, NaN and negative numbers are nothing usable.

    An endpoint that keeps its answers gives 0 for a token that has ended. It counts as one second: it is replaced
    soon, and not at each use.
    """
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        return None
    try:
        life = float(given)
    except (ValueError, OverflowError):
        return None
    if math.isnan(life) or life < 0:
        return None
    return min(max(life, LIFE_SECONDS_MIN), LIFE_SECONDS_MAX)


class Secret:
    """The client secret: a text, a function, or something with ``get()`` such as a RotatableSecret."""

    def __init__(self, source: object) -> None:
        if isinstance(source, str):
            if not source:
                raise ValueError("client_secret is empty")
        elif not callable(getattr(source, "get", None)) and not callable(source):
            raise TypeError("client_secret must be a text, a function or a RotatableSecret")
        # A function: vars() is not to show a text.
        self._of: Callable[[], Any] = lambda: source

    def get(self) -> str:
        """Raises Failed if it is not there now."""
        source = self._of()
        why = "is empty or not a text"
        value: object = None
        try:
            if isinstance(source, str):
                value = source
            else:
                call: Callable[[], object] = source.get if callable(getattr(source, "get", None)) else source
                value = call()
        except Exception as error:  # noqa: BLE001 - its text may hold the value
            why = f"is not available ({type(error).__name__})"
        if not isinstance(value, str) or not value:
            raise Failed(f"the client secret {why}")
        return value

    @property
    def version(self) -> object:
        """The version of the secret now; None if the source has none. To be read before the secret: what comes between
        the two must not be taken for what was refused."""
        source = self._of()
        try:
            return None if isinstance(source, str) else getattr(source, "version", None)
        except Exception:  # noqa: BLE001 - it is needed only if the secret is refused
            return None

    def rejected(self, version: object) -> bool:
        """Tells the source that the issuer refused this version; whether it has another one now."""
        source = self._of()
        rejected = getattr(source, "rejected", None)
        if isinstance(source, str) or not callable(rejected) or version is None:
            return False
        try:
            return bool(rejected(version))
        except Exception:  # noqa: BLE001 - the refusal itself is what the caller is told
            return False

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client secret cannot be pickled")


def number(name: str, value: object, *, above: float | None) -> None:
    """Raises ValueError unless ``value`` is a finite number above ``above``, or of at least 0 if that is None."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or (isinstance(value, (int, float)) and (value <= above if above is not None else value < 0)):
        raise ValueError(f"{name} must be a number {'above 0' if above is not None else 'of at least 0'}")
