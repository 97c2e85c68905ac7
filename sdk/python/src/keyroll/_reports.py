"""What a process says to keyroll's socket about one secret: in which order, how often, and what it does not repeat."""

from __future__ import annotations

import math
from collections import deque
from typing import Dict, Tuple, TypeVar

from . import _wire

K = TypeVar("K")
V = TypeVar("V")

WORDS_WAITING_MAX = 256
"""With this many that wait, a further use is not reported."""
WORDS_BEFORE_BYE_MAX = 16
PACED_SECONDS_MIN = 1.0
"""Between two reports of one path that are refusals or repetitions: requests that alternate between two versions must
not be as many reports."""
REMEMBERED_MAX = 1024


class Word:
    """One thing to say."""

    __slots__ = ("kind", "version", "ok", "path", "paced")

    def __init__(self, kind: str, version: int = 0, ok: bool = True, path: str = "", *, paced: bool = False) -> None:
        self.kind = kind
        self.version = version
        self.ok = ok
        self.path = path
        self.paced = paced

    @property
    def use(self) -> _Use | None:
        """What it says of a use."""
        return (self.version, self.ok, self.path) if self.kind == "used" else None

    def line(self, secret: str) -> bytes:
        """The request that says it."""
        body: dict[str, object] = {"secret": secret}
        if self.kind != "bye":
            body["version"] = self.version
        if self.kind == "used":
            body.update(ok=self.ok, path=self.path)
        return _wire.line(self.kind, body)


_Use = Tuple[int, bool, str]


class Reports:
    """The words that wait. No locks here: whoever calls holds one. New in each life of a process, and after a bye.

    The server counts the last word about each path, and none from before it gave out another version. So a duplicate
    is what says the same as the last word: after another one, or after a rollback, the same word is news.
    """

    def __init__(self) -> None:
        self._words: deque[Word] = deque()
        self._sent: Word | None = None  # on its way
        self._early: list[_Use] = []  # uses of a version that is not yet reported as loaded
        self._given: int | None = None
        self._current: int | None = None  # reported as loaded since the server gave it out
        self._loaded: Dict[int, None] = {}
        self._last: Dict[str, _Use] = {}  # by path, since then
        self._known: Dict[_Use, None] = {}  # what was said in this life
        self._paced_at: Dict[str, float] = {}  # by path: when a refusal or a repetition was sent

    @property
    def leaving(self) -> bool:
        """Whether the last word waits."""
        return bool(self._words) and self._words[-1].kind == "bye"

    def given(self, version: int) -> None:
        """The server gave out this version, with which its earlier words count no more if it is another one."""
        if version != self._given:
            self._given, self._current = version, None
            self._last.clear()

    def loaded(self, version: int) -> None:
        """The version is in use. Said once each time that the server gives it out anew."""
        if version == self._current or self.leaving:
            return
        self._current = version
        self._last.clear()
        _remember(self._loaded, version, None)
        self._words.append(Word("loaded", version))
        # The server takes a use only of a version that it gave out, and its ledger is read in this order.
        early, self._early = self._early, []
        for use in early:
            self.used(*use)

    def used(self, version: int, ok: bool, path: str) -> None:
        """A use. What the last word about the path said already is not said again; a refusal is, once a second."""
        use = (version, ok, path)
        if self.leaving:
            return
        if version not in self._loaded:
            if use not in self._early and len(self._early) < WORDS_WAITING_MAX:
                self._early.append(use)
            return
        if ok and self._last.get(path) == use:
            return
        for word in list(self._words):
            # The same word further back in the queue: only the order of the last ones counts.
            if word.use == use and word is not self._sent:
                self._words.remove(word)
        if len(self._words) >= WORDS_WAITING_MAX:
            return
        _remember(self._last, path, use)
        self._words.append(Word("used", *use, paced=not ok or use in self._known))
        _remember(self._known, use, None)

    def bye(self) -> None:
        """The last word."""
        if not self.leaving:
            self._early.clear()
            if len(self._words) > WORDS_BEFORE_BYE_MAX:
                # Nothing of them counts after it, and somebody waits for it.
                self._words = deque(word for word in self._words if word is self._sent or word.kind != "used")
            self._words.append(Word("bye"))

    def stay(self) -> None:
        """Takes back a last word that was not sent yet."""
        if self.leaving:
            self._words.pop()

    def next(self, now: float) -> tuple[Word | None, float]:
        """What to say now, else how long to wait for it. It stays here until ``done``."""
        wait = math.inf
        later: set[str] = set()
        for word in list(self._words):
            if word.kind == "used":
                left = self._paced_at.get(word.path, -math.inf) + PACED_SECONDS_MIN - now if word.paced else 0.0
                if left > 0 and self.leaving:
                    self._words.remove(word)
                    continue
                if left > 0:
                    wait = min(wait, left)
                    later.add(word.path)
                # What was said of one path is told in its order.
                if word.path in later:
                    continue
            return word, 0.0
        return None, wait

    def sent(self, word: Word, now: float) -> None:
        """It is on its way."""
        self._sent = word
        if word.paced:
            self._paced_at.pop(word.path, None)
            _remember(self._paced_at, word.path, now)

    def done(self, word: Word) -> None:
        """The server answered it."""
        self._sent = None
        try:
            self._words.remove(word)
        except ValueError:
            pass  # taken back meanwhile

    def lost(self) -> None:
        """It may not have arrived, and is said again."""
        self._sent = None


def _remember(known: Dict[K, V], what: K, value: V) -> None:
    known.pop(what, None)
    while len(known) >= REMEMBERED_MAX:
        del known[next(iter(known))]
    known[what] = value
