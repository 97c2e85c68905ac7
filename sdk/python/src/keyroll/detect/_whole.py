"""Whether a value stands as a whole word in a text.

In doubt it does: then it is redacted. It is part of a longer word only beside ASCII letters of its own case: one or more
behind it (``optimized``), or two or more before it that begin where words begin (``reoptimize``). A single letter before
it may belong to an escape, a terminal code or an option, a digit or an underscore to anything. The same rules as in
keyroll's engine.
"""
from __future__ import annotations

import re

BEFORE_BYTES = 66
"""How much of the text before a value is read. More letters in a row are no word."""
BEHIND_BYTES = 1
"""How much of the text after a value is read."""

# Where words begin, also behind the letter of an escape.
_BEGIN = rb"(?:\A|[ \t\n\x0c\r\"'`(\[{<>,.;:/*#]|\\[abefnrtv])"
# Small letters may have a capital first.
_SMALL = re.compile(_BEGIN + rb"[A-Za-z][a-z]{1,62}\Z")
_LARGE = re.compile(_BEGIN + rb"[A-Z]{2,63}\Z")


def stands_alone(before: bytes, value: bytes, behind: bytes) -> bool:
    """Whether a value between two texts is a whole word."""
    last, following = value[-1:], behind[:1]
    if last.islower() and following.islower() or last.isupper() and following.isupper():
        return False
    before = before[-BEFORE_BYTES:]
    if value[:1].islower():
        return _SMALL.search(before) is None
    return not (value[:2].isupper() and value[:2].isalpha()) or _LARGE.search(before) is None
