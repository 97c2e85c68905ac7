"""Whether a value stands as a whole word in a text.

In doubt it does: then it is redacted. So the bytes of an escape, of a terminal code or of an option before it are no
letters of its word. The same rules as in keyroll's engine.
"""
from __future__ import annotations

import re

BEFORE_BYTES = 64
"""How much of the text before a value is read."""
BEHIND_BYTES = 8
"""How much of the text after a value is read."""

# An escape, a terminal code, also as programs print it, or an option of one letter.
_ESCAPE = re.compile(
    rb"(?:\\[abefnrtv0]|%[0-9A-Fa-f]{2}|=[0-9A-F]{2}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\[0-3][0-7]{2}"
    rb"|\x1b[()]?[\x00-\xff]|(?:\A|[ \t\r\n\"'`(\[,=\x00])-[A-Za-z]|\[[0-9;:?]*[A-Za-z]|\A[0-9;:?]{63}[A-Za-z])\Z"
)
# Letters of words in the Latin script, as far as they are no ASCII.
_LATIN = re.compile("[\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0300-\u036f\u1e00-\u1eff]")
_EMPHASIS_MAX = 3


def stands_alone(before: bytes, value: bytes, behind: bytes) -> bool:
    """Whether a value between two texts is a whole word, or a whole number if it is one."""
    before, behind = before[-BEFORE_BYTES:], behind[:BEHIND_BYTES]
    if value[:1].isdigit():
        return not behind[:1].isdigit() and not (before[-1:].isdigit() and not _ESCAPE.search(before))
    left, right = before.rstrip(b"_"), behind.lstrip(b"_")
    count = len(before) - len(left)
    if _ends_with_letter(left) and (count > 0 or not _ESCAPE.search(before)) or _begins_with_letter(right):
        return False
    # Underscores around a word emphasise it.
    return count == len(behind) - len(right) <= _EMPHASIS_MAX


def _is_letter(letter: str) -> bool:
    return letter.isascii() and letter.isalnum() or _LATIN.match(letter) is not None


def _begins_with_letter(text: bytes) -> bool:
    letters = text[:4].decode("utf-8", "replace")
    return letters[:1] != "" and _is_letter(letters[0])


def _ends_with_letter(text: bytes) -> bool:
    # The first bytes of these may be in the middle of a letter; the last letter is whole.
    letters = text[-8:].decode("utf-8", "replace")
    return letters[-1:] != "" and _is_letter(letters[-1])
