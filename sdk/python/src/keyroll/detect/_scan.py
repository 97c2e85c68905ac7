"""Scans texts: by form, then by name and position, as ``keyroll leaks`` does with a text of any kind."""
from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import Iterator, NamedTuple, Sequence

from . import _engine, _judge, _likely, _names, _places

MARKER = "[redacted:{}]"
"""Replaces a finding, with the name of its rule or of the known value."""

NAMED = ("named-secret", "value under the name of a secret")
CONNECTION = ("connection-password", "password of a connection string")
SENT = ("sent-credential", "password or token in a request")

# The longest piece of a long line that is searched by names, and the longest name at which it is cut.
_PIECE_BYTES_MAX = 4 * 1024
_NAME_BYTES_MAX = 128

# One of these, in lower case, is in every name of a secret, before every token and in every login of an address.
_MARK = re.compile(
    b"key|token|secret|pass|pwd|_pw|pw[=: \"'>]|cred(?:ential|s)|auth|bearer|basic|://|_salt|pepper|identified|psk"
)
_SIGN = re.compile(rb"[=: >]")
_LINE_END = re.compile(rb"[\n\x00]")
# Not at `"value"` with its own name before it: `{"name":"API_KEY","value":"value"}`.
_CUT = re.compile(rb"(?:(?<=[,{;])|(?<=[,{;] ))[\"'`](?!value\")")
_NAME_CUT = re.compile(rb"(?<=[ \t,;{(&?])[A-Za-z0-9_.$-]{1,127} ?[:=]")


class Finding(NamedTuple):
    """A secret in a text. ``start`` and ``end`` count characters of a text, or bytes of bytes."""

    start: int
    end: int
    rule: str
    title: str


def find(data: bytes) -> list[_engine.Span]:
    """The findings in bytes, in order, without overlaps."""
    formed = by_form(data)
    ends = [one.end for one in formed]
    found = list(formed)
    for start, end in _lines(data):
        here = formed[bisect_right(ends, start) : bisect_left(ends, end) + 1]
        found += _by_name(data, start, end, here)
    found.sort()
    return found


def by_form(data: bytes, first: int = 0) -> list[_engine.Span]:
    """The findings of rules alone. Values that documentation shows to everyone are none."""
    found = _engine.shipped().find(data, first)
    return [one for one in found if not _judge.is_example(data[one.start : one.end])]


def by_position(data: bytes, formed: list[_engine.Span]) -> list[_engine.Span]:
    """The passwords of addresses and the tokens after a scheme that are in none of ``formed``: what words around a
    value decide, without its line."""
    taken = _engine.Taken(formed)
    found = []
    for search in (_places.passwords_in, _places.tokens_in):
        for one in search(data):
            if may_be(data, one) and taken.add(one.start, one.end) and _likely.is_likely(data, one):
                found.append(_span(data, one))
    return found


def find_text(text: str | bytes) -> list[Finding]:
    """The findings in a text, with positions in characters; in bytes, in bytes."""
    data = to_bytes(text)
    spans = find(data)
    if isinstance(text, bytes) or len(data) == len(text):
        return [Finding(*one) for one in spans]
    found, at, characters = [], 0, 0
    for one in spans:
        characters += _length(data[at : one.start])
        start, characters = characters, characters + _length(data[one.start : one.end])
        at = one.end
        found.append(Finding(start, characters, one.rule, one.title))
    return found


def marked(data: bytes, found: Sequence[_engine.Span | Finding]) -> bytes:
    """The bytes with a marker in place of each finding."""
    out: list[bytes] = []
    at = 0
    for one in found:
        out += [data[at : one.start], MARKER.format(one.rule).encode()]
        at = one.end
    return b"".join(out) + data[at:]


def to_bytes(text: str | bytes) -> bytes:
    """UTF-8. Lone surrogates, as of file names, are kept. Raises TypeError for anything but a text or bytes."""
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"a text or bytes is needed, not {type(text).__name__}")
    return text.encode("utf-8", "surrogatepass")


def _length(data: bytes) -> int:
    return len(data.decode("utf-8", "surrogatepass"))


def _lines(data: bytes) -> Iterator[tuple[int, int]]:
    """The lines, or the pieces of long ones, that may hold a name of a secret."""
    small, at = data.lower(), 0
    mark = _MARK.search(small)
    while mark is not None:
        if mark[0] == b"://" and not _is_login(data, mark.end()):
            mark = _MARK.search(small, mark.end())
            continue
        start = max(data.rfind(b"\n", at, mark.start()), data.rfind(b"\0", at, mark.start())) + 1 or at
        end = _LINE_END.search(data, mark.end())
        at = len(data) if end is None else end.end()
        if at - start <= _places.LINE_BYTES_MAX:
            yield start, at
        else:
            yield from _pieces(data, small, start, at)
        mark = _MARK.search(small, at)


def _is_login(data: bytes, at: int) -> bool:
    """Whether an address may have a login before its host."""
    line = data.find(b"\n", at)
    return data.find(b"@", at, len(data) if line < 0 else line) >= 0


def _pieces(data: bytes, small: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A long line in pieces with marks: from a quote after a comma, brace or semicolon to the next; longer ones from
    one name before a sign to the next. What is longer still is not searched by names."""
    cuts = [start] + [cut.start() for cut in _CUT.finditer(data, start, end)] + [end]
    for one, following in zip(cuts, cuts[1:]):
        if following - one <= _PIECE_BYTES_MAX:
            if _MARK.search(small, one, following):
                yield one, following
            continue
        names = [one] + [name.start() - 1 for name in _NAME_CUT.finditer(data, one, following)] + [following]
        for first, last in zip(names, names[1:]):
            if 0 < last - first <= _PIECE_BYTES_MAX and _MARK.search(small, first, last):
                yield first, last


def _by_name(data: bytes, start: int, end: int, formed: list[_engine.Span]) -> Iterator[_engine.Span]:
    text = data[start:end]
    if not _SIGN.search(text):
        return
    taken = _engine.Taken(formed)
    looked: set[_places.Named] = set()
    for one in _places.in_line(text):
        # Several searches find the same value.
        if one in looked:
            continue
        looked.add(one)
        one = _places.Named(one.name, one.start + start, one.end + start)
        # What is no secret after all still stands in the way of what is less sure.
        if not taken.has(one.start, one.end) and may_be(data, one):
            taken.add(one.start, one.end)
            if _likely.is_likely(data, one):
                yield _span(data, one)


def may_be(data: bytes, one: _places.Named) -> bool:
    """Whether a value may be a secret, by its name or place and by what it is not."""
    if not 0 < one.end - one.start <= _places.VALUE_BYTES_MAX:
        return False
    value = data[one.start : one.end]
    named = one.name is None or _names.holds_a_secret(one.name, value)
    return named and not _judge.no_secret(value)


def _span(data: bytes, one: _places.Named) -> _engine.Span:
    if one.name is not None:
        return _engine.Span(one.start, one.end, *NAMED)
    return _engine.Span(one.start, one.end, *(CONNECTION if data.startswith(b"@", one.end) else SENT))
