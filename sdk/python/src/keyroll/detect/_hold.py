"""Whether a text that is not complete may go out: whether its last word may be the beginning of a secret.

This is a guess: a secret may begin like a word. Then its first letters are out, and the rest is still redacted.
"""
from __future__ import annotations

import re
from typing import Pattern

from . import _engine
from ._stream import Redactor
from ._words import BEFORE

# Fewer bytes of a known value are no sign of it.
_KNOWN_BYTES_MIN = 3
_LEAD_BYTES = _engine.NEAR_BYTES_MAX + 16
_RUN_BYTES_MAX = 64

_MARKER = re.compile(rb"\[redacted:[^\]\x00-\x20]*\]")
_RUN = re.compile(rb"[\x21-\x7e]+")
_WORD_START = re.compile(rb"(?<![A-Za-z0-9_])[\x21-\x7e]")
# Words and short numbers with marks between them.
_PLAIN = re.compile(
    rb"(?:[^A-Za-z0-9@/\\:=_%&+~$|<>^]|:(?!/)"
    rb"|(?<![A-Za-z0-9])(?:[A-Z]?[a-z]{1,15}|[A-Z]{1,4}|v?[0-9]{1,4})(?![A-Za-z0-9]))*\Z"
)
# What comes before tokens that have no form.
_SCHEME = re.compile(b"(?:" + b"|".join(re.escape(word.encode()) for word in BEFORE) + rb")[^\x00-\x20]*\Z")


class _Beginnings:
    """The words with which values begin, and the words before values without such a beginning."""

    def __init__(self) -> None:
        rules = _engine.shipped()
        words = {word for rule in rules.all for word in rule.begins}
        self.whole = words
        self.lengths = sorted({len(word) for word in words})
        self.partial = {word[:end] for word in words for end in range(1, len(word))}
        near = {word for rule in rules.all if not rule.begins for word in rule.near}
        self.near: Pattern[bytes] = re.compile(_engine.trie(near))

    def at(self, run: bytes, start: int) -> bool:
        """Whether a value begins here, or may with what follows."""
        if run[start:] in self.partial:
            return True
        return any(run[start : start + length] in self.whole for length in self.lengths)


_ready: list[_Beginnings] = []


def may_go_out(redactor: Redactor) -> bool:
    """Whether what the redactor has not decided yet reads like words, none of which begins like a secret."""
    before, held = redactor.undecided()
    text = _MARKER.sub(b" ", held)
    runs = _RUN.findall(text)
    if not runs:
        return True
    if not _ready:
        _ready.append(_Beginnings())
    beginnings = _ready[0]
    for run in runs:
        if len(run) > _RUN_BYTES_MAX or not _PLAIN.match(run):
            return False
        if any(beginnings.at(run, start.start()) for start in _WORD_START.finditer(run)):
            return False
    lead = (before[-_LEAD_BYTES:] + text).rpartition(b"\n")[2].lower()
    if _SCHEME.search(lead) or beginnings.near.search(lead):
        return False
    return not redactor.begins_a_known_value(_KNOWN_BYTES_MIN)
