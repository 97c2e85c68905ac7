"""One use of a secret, and one more with the other valid version: for code that sends its requests itself."""

from __future__ import annotations

from typing import Any, Protocol

from ._values import Unpicklable
from ._versions import Kept
from .errors import RefusedValue


class Attempts(Protocol):
    """What gives out attempts: a secret, or a token manager."""

    def attempt(self, path: str = "main") -> Attempt: ...

    async def aattempt(self, path: str = "main") -> Attempt: ...


class Owner(Protocol):
    """Who is told how an attempt went, and knows the other value.

    ``look``: the source may be asked for it. ``certain``: the value was refused; else only a newer one is given.
    """

    def _accepted(self, version: str, path: str) -> None: ...

    def _was_accepted(self, version: str) -> bool: ...

    def _may_use(self, kept: Kept) -> bool: ...

    def _other(self, tried: Kept, path: str, look: bool, certain: bool) -> Kept | None: ...

    async def _aother(self, tried: Kept, path: str, look: bool, certain: bool) -> Kept | None: ...


class Attempt(Unpicklable):
    """One use of ``value``, which is ``version`` of the secret. Say how it went, or nothing where that is unknown.

    ``accepted()``: the issuer took it. ``refused()``: the issuer refused it; gives the attempt to make next, with the
    other valid version, or None. There are two attempts at most.
    """

    __slots__ = ("path", "_kept", "_owner", "_is_first", "_is_certain")

    def __init__(self, owner: Owner, kept: Kept, path: str, *, is_first: bool = True) -> None:
        self.path = path
        self._kept = kept
        self._owner = owner
        self._is_first = is_first
        self._is_certain = True

    @property
    def value(self) -> str:
        """What to use."""
        return self._kept.value

    @property
    def version(self) -> str:
        """Which version it is."""
        return self._kept.version

    def accepted(self) -> None:
        """The issuer took it."""
        self._owner._accepted(self.version, self.path)

    def refused(self) -> Attempt | None:
        """The issuer refused it. After the first attempt: fetches, at most once a second, and gives the second one."""
        return self._next(self._owner._other(self._kept, self.path, self._is_first, self._is_certain))

    async def arefused(self) -> Attempt | None:
        """The same, without blocking the loop."""
        return self._next(await self._owner._aother(self._kept, self.path, self._is_first, self._is_certain))

    def _next(self, other: Kept | None) -> Attempt | None:
        if other is None or not self._is_first:
            return None
        return Attempt(self._owner, other, self.path, is_first=False)

    def answered(self, status: int) -> bool:
        """By the HTTP status of the answer: whether ``refused()`` is to be asked for another attempt.

        From 200 to 399 the issuer accepted the value; with 401 it refused it. A 403 is a refusal too, unless this version
        was accepted before: then it may be a permission that the key does not have, ``refused()`` reports nothing, and
        gives only a newer version. Any other status says nothing about the key, and is not reported.
        """
        if 200 <= status < 400:
            self.accepted()
        self._is_certain = status != 403 or not self._owner._was_accepted(self.version)
        return status in (401, 403)

    def header(self, prefix: str = "") -> str:
        """The value of a header. RefusedValue if it cannot stand in one: libraries print what they refuse."""
        if not all(" " <= letter <= "~" for letter in self.value) or self.value != self.value.strip():
            raise RefusedValue(f"version {self.version} of the secret cannot stand in an HTTP header")
        return prefix + self.value

    def may_be_used(self) -> bool:
        """Whether its value is still the current or the previous one, and was not compromised meanwhile."""
        return self._owner._may_use(self._kept)

    def __repr__(self) -> str:
        return f"<Attempt version={self.version}>"


def checked(key: Any) -> Attempts:
    """The key; TypeError if it is none."""
    if not hasattr(key, "aattempt"):
        raise TypeError(f"key is a RotatableSecret or a SelfExpiringTokenManager, not {type(key).__name__}")
    return key  # type: ignore[no-any-return]
