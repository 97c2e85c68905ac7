"""The connection on which a process reports how it uses the secrets of one socket: one word, then its answer."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from . import _wire
from ._link import ANSWER_SECONDS_MAX, LINK_ERRORS, Link, Retry
from ._reports import Reports, Word

if TYPE_CHECKING:
    from ._listener import Listener
    from ._served import Served

IDLE_SECONDS_MAX = 10.0
"""It is closed after that long without a word."""
WORDS_PER_SECOND_MAX = 50
"""The server ends a connection with more than 100 in a second."""
_A_SECOND = 1.0


class Spoken:
    """A word that is on its way. ``reports`` are those of the life in which it was said."""

    __slots__ = ("served", "reports", "word")

    def __init__(self, served: Served, reports: Reports, word: Word) -> None:
        self.served = served
        self.reports = reports
        self.word = word


class Speaker:
    """Only the thread that waits at the sockets uses the connection."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self.link: Link | None = None
        self.retry = Retry()
        self._spoken: Spoken | None = None
        self._idle_since = 0.0
        self._sent: deque[float] = deque(maxlen=WORDS_PER_SECOND_MAX)  # when the last words were sent

    def says_bye(self, served: Served) -> bool:
        """Whether the last word of this secret is on its way."""
        spoken = self._spoken
        return spoken is not None and spoken.served is served and spoken.word.kind == "bye"

    def hurry(self) -> None:
        """The next word is not to wait until it is time to connect again."""
        self.retry.at = 0.0

    def step(self, listener: Listener, selector: Any) -> float:
        """Says what is to be said and gives the seconds until it has to be called again."""
        now = time.monotonic()
        if self.link is not None and self.link.busy:
            if self.link.deadline > now:
                return self.link.deadline - now
            self._failed(listener)
        if now < self.retry.at:
            return self.retry.at - now
        if len(self._sent) == self._sent.maxlen and now - self._sent[0] < _A_SECOND:
            return self._sent[0] + _A_SECOND - now
        spoken, wait = listener.next_word(self._path, now)
        if spoken is None:
            return min(wait, self._idle(now))
        self._spoken = spoken
        self._sent.append(now)
        secret = spoken.served.secret
        try:
            if self.link is None:
                self.link = Link(selector, _wire.socket_path(self._path), secret, self)
            self.link.send(spoken.word.line(secret), ANSWER_SECONDS_MAX)
        except LINK_ERRORS:
            away = self.link is None
            self._failed(listener)
            if away:
                listener.unreachable(self._path)
            return self.retry.at - now
        return self.link.deadline - now

    def read(self, listener: Listener) -> float:
        """Takes the answer."""
        link, spoken = self.link, self._spoken
        if link is None:
            return 0.0
        refused: str | None = None
        try:
            raw = link.receive()
            if raw is None:
                return 0.0
            try:
                if not isinstance(_wire.read(raw, "" if spoken is None else spoken.served.secret), _wire.Done):
                    refused = "the answer does not fit the request"
            except _wire.ServerError as error:
                refused = str(error)
        except LINK_ERRORS:
            if spoken is None:
                self.silenced()  # the server closed a connection that had nothing to do
            else:
                self._failed(listener)
            return 0.0
        self._idle_since, self._spoken = time.monotonic(), None
        if spoken is not None:
            listener.said(spoken, refused)
        return 0.0

    def silenced(self) -> None:
        """Ends the connection."""
        link, self.link, self._spoken = self.link, None, None
        if link is not None:
            link.close()

    def _idle(self, now: float) -> float:
        if self.link is None:
            return math.inf
        left = self._idle_since + IDLE_SECONDS_MAX - now
        if left <= 0:
            self.silenced()
            return math.inf
        return left

    def _failed(self, listener: Listener) -> None:
        now, link, spoken = time.monotonic(), self.link, self._spoken
        self.silenced()
        self.retry.failed(now, 0.0 if link is None else now - link.opened)
        if spoken is not None:
            listener.unsaid(spoken)
