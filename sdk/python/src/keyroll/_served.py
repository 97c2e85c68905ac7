"""One secret that keyroll's socket gives out, and all in the process that hold it."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Callable, Optional, Tuple

from . import _wire
from ._link import Link, Retry
from ._push import Answer, Holder
from ._reports import Reports
from ._values import Versioned

if TYPE_CHECKING:
    from ._listener import Listener

_OF_A_LIFE_BEFORE = -1  # the version of a holder that this process has not asked for itself

Key = Tuple[Optional[str], str]
"""The socket that was given, and the name of the secret."""


class SecretHolder(Holder):
    """One secret of the program."""

    __slots__ = ("_listener", "served", "version", "push", "confirm", "pick")

    def __init__(
        self, listener: Listener, served: Served, pick: Callable[[_wire.Given], Versioned],
        push: Callable[[Answer], object], confirm: Callable[[str], object],
    ) -> None:
        self._listener = listener
        self.served = served
        self.version: int | None = None  # None: it uses no version
        self.pick, self.push, self.confirm = pick, push, confirm

    def in_use(self, version: str) -> None:
        self._listener.in_use(self, version)

    def used(self, version: str, ok: bool, path: str) -> None:
        self._listener.used(self, version, ok, path)

    def stop(self) -> None:
        self._listener.stop_holder(self)

    def drop(self) -> None:
        self._listener.drop(self)


class Served:
    """One secret at one socket, for all of the process that hold it."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.secret = key[1]
        self.holders: set[SecretHolder] = set()
        self.end = threading.Event()
        self.leave_by = math.inf
        self.complaints: list[str | None] = []
        self.established = False  # a version was given to this process or to one that it was forked from
        self.new_life()

    def new_life(self) -> None:
        """The server knows nothing of this process yet, or no longer."""
        self.reports = Reports()
        self.begun = False  # the first fetch is over
        self.known = False  # a version was given in this life
        self.have: int | None = None
        self.asks = 0  # fetches under way
        self.waiting: Link | None = None
        self.asked: tuple[int | None, float] = (None, 0.0)  # what the request under way has, and when it was sent
        self.probing = True  # nothing was answered on this connection yet
        self.next_get = 0.0
        self.retry = Retry()
        self.away_since: float | None = None
        self.outage = False  # the secrets were told
        for holder in self.holders:
            if holder.version is not None:
                holder.version = _OF_A_LIFE_BEFORE

    def settle(self) -> None:
        """Reports a version as loaded once every holder that has a version has this one."""
        versions = {holder.version for holder in self.holders} - {None}
        version = versions.pop() if len(versions) == 1 else None
        if version is not None and version != _OF_A_LIFE_BEFORE:
            self.reports.loaded(version)
