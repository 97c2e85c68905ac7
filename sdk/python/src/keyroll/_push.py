"""What a source needs that brings each new value by itself and reports to its server how values are used."""

from __future__ import annotations

from typing import Callable

from ._values import Versioned

Answer = Callable[[], Versioned]
"""Gives the new value, or raises why there is none."""


class Holder:
    """One secret of the program at such a source. None of its methods raises or waits, except that ``stop`` waits."""

    __slots__ = ()

    def in_use(self, version: str) -> None:
        """The secret's ``value`` has this version now."""
        raise NotImplementedError

    def used(self, version: str, ok: bool, path: str) -> None:
        """The program used this version, and the issuer accepted or refused it."""
        raise NotImplementedError

    def stop(self) -> None:
        """The program no longer uses the secret; waits for a short time until the server knows."""
        raise NotImplementedError

    def drop(self) -> None:
        """The same without waiting: a finalizer may call it in any thread, whatever locks that thread holds."""
        raise NotImplementedError


class PushSource:
    """The base of such fetch functions. A class and no attribute: a mock in a test has every attribute."""

    __slots__ = ()

    def attach(self, push: Callable[[Answer], object], confirm: Callable[[str], object]) -> Holder:
        """From now on ``push`` gets each new answer, and ``confirm`` each version that the server still gives out."""
        raise NotImplementedError
