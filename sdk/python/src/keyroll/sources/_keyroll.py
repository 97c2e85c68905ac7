"""The socket of ``keyroll serve`` on this machine. The kernel tells the server who asks: there is no token."""

from __future__ import annotations

import os
from typing import Callable, Union

from .. import _wire
from .._listener import listener
from .._push import Answer, Holder, PushSource
from .._values import Unpicklable, Versioned

ANSWER_SECONDS_MAX = 5.0


def fetch_from_keyroll(
    secret: str, *, socket: Union[str, "os.PathLike[str]", None] = None, field: str | None = None
) -> Callable[[], Versioned]:
    """A fetch function for one secret that ``keyroll serve`` gives out at its socket on this machine.

    ``socket`` is KEYROLL_SOCKET unless given, else ``$XDG_RUNTIME_DIR/keyroll/values.sock`` if that exists, else
    ``/run/keyroll/values.sock``. ``field`` picks a field of a secret that has several.

    In a ``RotatableSecret`` a new version is in use as soon as the server gives it. keyroll is then told that it is
    loaded, and what ``used``, ``rejected`` and ``with_fallback`` say of it. A version of a lower number is a rollback
    and is followed. Errors are SourceError with the server's own sentence; no fetch takes longer than 5 s.
    """
    if not _wire.fits(secret):
        raise ValueError("secret is not the name of a secret")
    if field is not None and not _wire.fits(field):
        raise ValueError("field is not the name of a field")
    path = None if socket is None else os.fspath(socket)
    if path is not None and (not isinstance(path, str) or not path or "\x00" in path):
        raise ValueError("socket is not a path")
    return _KeyrollSource(secret, None if path is None else os.path.abspath(path), field)


class _KeyrollSource(PushSource, Unpicklable):
    __slots__ = ("_key", "_field", "__weakref__")

    def __init__(self, secret: str, path: str | None, field: str | None) -> None:
        self._key = (path, secret)
        self._field = field

    def __repr__(self) -> str:
        return f"<fetch_from_keyroll {self._key[1]}>"

    def __call__(self) -> Versioned:
        path, secret = self._key
        with listener.asking(self._key) as given:
            reply = _wire.ask(_wire.socket_path(path), secret, ANSWER_SECONDS_MAX)
            given(reply.version)
        return self._pick(reply)

    def attach(self, push: Callable[[Answer], object], confirm: Callable[[str], object]) -> Holder:
        return listener.attach(self._key, self._pick, push, confirm)

    def _pick(self, reply: _wire.Given) -> Versioned:
        value = reply.value if self._field is None else reply.fields.get(self._field)
        if not isinstance(value, str):
            several = self._field is None and len(reply.fields) > 1
            why = "the secret has several fields: give field" if several else (
                "the answer has no value" if self._field is None else f"the answer has no text field {self._field}"
            )
            raise _wire.failure(self._key[1], why)
        # No order: the rollback of a rotation gives the version before again.
        return Versioned(value, str(reply.version))
