"""Vault and OpenBao: the KV store, version 2, by HTTP."""

from __future__ import annotations

import json
import os
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, Callable, Protocol, Union

from .._deadline import Http, Https, NoRedirect
from .._http import is_loopback
from .._values import Unpicklable, Versioned, clean
from ..errors import SourceError

BODY_BYTES_MAX = 1024 * 1024
TOKEN_BYTES_MAX = 64 * 1024


class _Gettable(Protocol):
    def get(self) -> str: ...


Token = Union[str, Callable[[], str], "os.PathLike[str]", _Gettable, None]


def fetch_from_vault(
    path: str,
    *,
    field: str = "value",
    mount: str = "secret",
    url: str | None = None,
    token: Token = None,
    namespace: str | None = None,
    timeout: float = 5,
    plain: bool = False,
) -> Callable[[], Versioned]:
    """A fetch function for one field of a secret in a KV version 2 store of Vault or OpenBao.

    ``url`` is VAULT_ADDR unless given, ``namespace`` is VAULT_NAMESPACE, VAULT_CACERT names a file of certificates to
    trust. ``token`` is the token, a function that returns it, a ``RotatableSecret`` of it, or a Path of a file
    that holds it; unless given it is VAULT_TOKEN, else the file that VAULT_TOKEN_FILE names, else ``~/.vault-token``.
    All are read at each fetch.
    ``timeout`` is the limit of one fetch in seconds, however slowly its bytes come; to look up the name of the server,
    and to try further addresses of it, comes on top. The address must be https or on this machine, unless ``plain``.

    The version is the KV version number, which is also the order: an answer with a lower number than the one in use
    is refused. To go back, write the old value again (``kv rollback``), which makes a new version. Errors are
    SourceError; they show the status, never the body.
    """
    for name, part in (("path", path), ("mount", mount)):
        if not isinstance(part, str) or not part.strip("/") or {"..", "."} & set(part.split("/")):
            raise ValueError(f"{name} is not a path in the store")
    if not isinstance(timeout, (int, float)) or not 0 < timeout <= 300:
        raise ValueError("timeout is not between 0 and 300 s")
    if url is not None:
        why = _why_not(url, plain)
        if why is not None:
            raise ValueError(f"url {why}")
    return _VaultSource(path.strip("/"), field, mount.strip("/"), url, token, namespace, float(timeout), plain)


class _VaultSource(Unpicklable):
    # Slots: what prints the attributes of an object would print the token.
    __slots__ = ("_path", "_field", "_mount", "_url", "_token", "_namespace", "_timeout", "_plain", "__weakref__")

    def __init__(
        self, path: str, field: str, mount: str, url: str | None, token: Token, namespace: str | None,
        timeout: float, plain: bool,
    ) -> None:
        self._path, self._field, self._mount, self._url = path, field, mount, url
        self._token, self._namespace, self._timeout, self._plain = token, namespace, timeout, plain

    def __repr__(self) -> str:
        return f"<fetch_from_vault {self._mount}/{self._path}>"

    def __call__(self) -> Versioned:
        status, body = self._ask()
        document: Any = None
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            pass
        outer = document.get("data") if isinstance(document, dict) else None
        metadata = outer.get("metadata") if isinstance(outer, dict) else None
        number = metadata.get("version") if isinstance(metadata, dict) else None
        if status == 404 and isinstance(metadata, dict):
            # A version that is gone is answered with 404 and its metadata.
            raise self._error(f"version {number if isinstance(number, int) else '?'} was deleted")
        if status != 200:
            reasons = {403: " (the token may not read this, or is no longer valid)", 404: " (no such secret)"}
            raise self._error(f"the server answered {status}{reasons.get(status, '')}")
        data = outer.get("data") if isinstance(outer, dict) else None
        value = data.get(self._field) if isinstance(data, dict) else None
        if not isinstance(value, str):
            raise self._error(f"the answer has no text field {self._field}")
        if isinstance(number, bool) or not isinstance(number, int):
            raise self._error("the answer has no version number: is the store a KV version 2?")
        return Versioned(clean(value), str(number), number)

    def _error(self, reason: str) -> SourceError:
        return SourceError(f"Vault, {self._mount}/{self._path}: {reason}")

    def _ask(self) -> tuple[int, bytes]:
        url = self._url or os.environ.get("VAULT_ADDR", "")
        if not url:
            raise self._error("no address: give url or set VAULT_ADDR")
        why = _why_not(url, self._plain)
        if why is not None:
            raise self._error(f"the address {why}")
        quoted = "/".join(urllib.parse.quote(part, safe="/") for part in (self._mount, "data", self._path))
        headers = {"X-Vault-Token": self._read_token()}
        request = urllib.request.Request(f"{url.rstrip('/')}/v1/{quoted}", headers=headers)
        namespace = self._namespace or os.environ.get("VAULT_NAMESPACE")
        if namespace:
            request.add_header("X-Vault-Namespace", namespace)
        reason: str
        try:
            with _opener(url).open(request, timeout=self._timeout) as answer:
                return int(answer.status), _read(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _read_quietly(error)
        except urllib.error.URLError as error:
            reason = _kind(error.reason) if isinstance(error.reason, BaseException) else "URLError"
        except (OSError, HTTPException, ValueError) as error:
            reason = _kind(error)
        raise self._error(f"no answer ({reason})")

    def _read_token(self) -> str:
        token: Any = self._token
        if token is None:
            token = os.environ.get("VAULT_TOKEN")
        if token is None:
            token = Path(os.environ.get("VAULT_TOKEN_FILE") or "~/.vault-token").expanduser()
        if isinstance(token, os.PathLike):
            token = self._token_of_file(token)
        elif callable(token):
            token = token()
        elif callable(getattr(token, "get", None)):
            token = token.get()
        text = token.strip() if isinstance(token, str) else ""
        if not text:
            raise self._error("the token is empty")
        if not (text.isascii() and text.isprintable()) or len(text) > TOKEN_BYTES_MAX:
            raise self._error("the token is not a token")
        return text

    def _token_of_file(self, path: os.PathLike[str]) -> str:
        try:
            with open(path, "rb") as file:
                return clean(file.read(TOKEN_BYTES_MAX + 1))
        except OSError as error:
            name = type(error).__name__
        raise self._error(f"no token: give token or set VAULT_TOKEN or VAULT_TOKEN_FILE ({name})")


def _opener(url: str) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [NoRedirect(), Http()]
    if is_loopback(urllib.parse.urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    if url.lower().startswith("https:"):
        context = ssl.create_default_context(cafile=os.environ.get("VAULT_CACERT") or None)
        handlers.append(Https(context=context))
    return urllib.request.build_opener(*handlers)


def _kind(error: BaseException) -> str:
    # In Python 3.9 it has a name of its own.
    return "TimeoutError" if isinstance(error, socket.timeout) else type(error).__name__


def _read(answer: Any) -> bytes:
    body: bytes = answer.read(BODY_BYTES_MAX + 1)
    if len(body) > BODY_BYTES_MAX:
        raise ValueError("too large")
    return body


def _read_quietly(error: urllib.error.HTTPError) -> bytes:
    try:
        return _read(error)
    except (OSError, HTTPException, ValueError):
        return b""


def _why_not(url: str, plain: bool) -> str | None:
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is not an address"
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or "@" in parts.netloc:
        return "is not of the form https://host:port"
    if parts.scheme == "http" and not plain and not is_loopback(host):
        return "is plain http to another machine: use https, or give plain=True"
    return None
