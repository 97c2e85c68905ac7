"""Finds credentials by their form: the rules of their issuers, in the way of keyroll's own detector.

Works on bytes, because rules count bytes: 64 before a value, entropy for each. Every search is linear: an anchor, a
public word of a rule, leads to a bounded expression.
"""
from __future__ import annotations

import math
import re
from bisect import bisect_left
from typing import Callable, Iterable, Iterator, NamedTuple, Pattern

from . import _checksum, _expression
from ._rules import RULES

BLOCK_BYTES_MAX = 16 * 1024
"""The longest match of a rule for blocks, such as PEM private keys."""
MATCH_BYTES_MAX = 4 * 1024
"""The longest match of another rule."""
NEAR_BYTES_MAX = 64
"""How far before a value a rule's word may be, on the same line."""

# Shorter beginnings are too common as anchors; words before the value are used if there are any.
_ANCHOR_BYTES_MIN = 3

_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_CAPITALS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")

# Terminal codes: ECMA-48 (CSI), and ECMA-35 without parameters.
_CODE = re.compile(rb"\x1b(?:\[[\x20-\x3f]{0,64}[\x40-\x7e]|[\x20-\x2f]{0,3}[\x30-\x7e])")
_CODE_SHORT = re.compile(rb"\x1b[\x20-\x2f]{0,3}\Z")
_CODE_LONG = re.compile(rb"\x1b\[[\x20-\x3f]{0,64}\Z")
# Where a value may begin, in a text without terminal codes.
_STARTS = re.compile(rb"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))[^\x00-\x20]")
# For capitals after small letters.
_CASES = bytes(97 if 97 <= byte <= 122 else 65 if 65 <= byte <= 90 else 0 for byte in range(256))


class Span(NamedTuple):
    """A finding: where the value begins and ends in the bytes, and its rule."""

    start: int
    end: int
    rule: str
    title: str


class Rule:
    """One kind of credential. Its expression is compiled when it is first needed: most texts need few."""

    __slots__ = (
        "id", "title", "begins", "holds", "near", "entropy", "checksum", "yields", "block", "expression",
        "least", "most", "_match",
    )

    def __init__(self, row: tuple[object, ...]) -> None:
        def many(words: object) -> tuple[bytes, ...]:
            return tuple(word.encode() for word in words) if isinstance(words, tuple) else ()

        self.id, self.title = str(row[0]), str(row[1])
        self.begins, self.holds, self.near = many(row[2]), many(row[3]), many(row[4])
        self.entropy = float(row[5]) if isinstance(row[5], float) else 0.0
        self.checksum, self.yields, self.block = str(row[6]), bool(row[7]), bool(row[8])
        self.expression = str(row[9])
        self.least, self.most = _expression.lengths(_expression.parse(self.expression))
        self._match: Pattern[bytes] | None = None

    def anchors(self) -> str:
        """By which of its words it is searched for: ``begins``, ``holds`` or ``near``."""
        short = any(len(word) < _ANCHOR_BYTES_MIN for word in self.begins)
        if self.begins and not (short and self.near):
            return "begins"
        return "holds" if self.holds else "near"

    def end(self, data: bytes, start: int, limit: int) -> int:
        """The end of a match at ``start``, whatever stands around it; -1 if there is none."""
        if self._match is None:
            self._match = re.compile(self.expression.encode())
        found = self._match.match(data, start, min(limit, start + BLOCK_BYTES_MAX))
        return -1 if found is None else found.end()

    def is_one(self, data: bytes, start: int, end: int) -> bool:
        """Whether a match is a credential, by its surroundings and its content. It begins a word."""
        if end < len(data) and data[end] in _WORD:
            return False
        value = data[start:end]
        return (
            (not self.begins or value.startswith(self.begins))
            and (not self.holds or any(word in value for word in self.holds))
            and (not self.entropy or entropy(value) >= self.entropy)
            and (not self.checksum or _checksum.fits(self.checksum, value))
            and (not self.near or self._is_near(data, start))
        )

    def _is_near(self, data: bytes, start: int) -> bool:
        first = max(0, start - NEAR_BYTES_MAX)
        first = max(first, data.rfind(b"\n", first, start) + 1)
        small = data[first:start].lower()
        for word in self.near:
            at = small.find(word)
            while at >= 0:
                if begins_word(data, first + at):
                    return True
                at = small.find(word, at + 1)
        return False


def entropy(value: bytes) -> float:
    """The Shannon entropy of a value, bits per byte."""
    length = len(value)
    shares = (value.count(byte) / length for byte in set(value))
    return -sum(share * math.log2(share) for share in shares)


def goes_on(data: bytes, at: int) -> bool:
    """Whether what stands before a position belongs to the same word. The letter of an escape, as in ``\\n``, does
    not, nor does the end of a terminal code."""
    if at == 0 or data[at - 1] not in _WORD:
        return False
    if at >= 2 and data[at - 2] == 0x5C and data[at - 1] in b"nrt":
        return False
    return not _ends_code(data, at - 1)


def _ends_code(data: bytes, at: int) -> bool:
    if data.rfind(b"\x1b", max(0, at - 66), at) < 0:
        return False
    last = data[at]
    string = last in b"PX^_" and data[at - 1] == 0x1B
    if not string and _CODE_SHORT.search(data, max(0, at - 4), at):
        return True
    return last >= 0x40 and _CODE_LONG.search(data, max(0, at - 66), at) is not None


def begins_word(data: bytes, at: int) -> bool:
    """Whether a word begins here: ``ark`` in ``my_ark`` and in ``myArk``, not in ``mark``."""
    if at == 0 or data[at - 1] not in _LETTERS:
        return True
    if data[at - 1] not in _CAPITALS and at < len(data) and data[at] in _CAPITALS:
        return True
    return _ends_code(data, at - 1)


def trie(words: Iterable[bytes]) -> bytes:
    """An expression for the shortest of the words at a position: far faster than one alternative for each."""
    top: dict[bytes, dict[bytes, object]] = {}
    for word in sorted(set(words), key=len):
        node: dict[bytes, object] = top  # type: ignore[assignment]
        for byte in word:
            key = bytes((byte,))
            if b"" in node:
                break
            node = node.setdefault(key, {})  # type: ignore[assignment]
        node.setdefault(b"", True)

    def shown(node: dict[bytes, object]) -> bytes:
        if b"" in node:
            return b""
        ways = [re.escape(key) + shown(rest) for key, rest in sorted(node.items())]  # type: ignore[arg-type]
        return ways[0] if len(ways) == 1 else b"(?:" + b"|".join(ways) + b")"

    # Without words: what never matches.
    return shown(top) if top else b"(?!)"  # type: ignore[arg-type]


class _Words:
    """The anchors of one kind, by their first bytes."""

    def __init__(self, key_bytes: int) -> None:
        self._key_bytes = key_bytes
        self._by_key: dict[bytes, dict[bytes, list[int]]] = {}
        self.all: set[bytes] = set()

    def add(self, word: bytes, rule: int) -> None:
        self.all.add(word)
        of_key = self._by_key.setdefault(word[: self._key_bytes], {})
        of_key.setdefault(word, []).append(rule)

    def at(self, data: bytes, at: int) -> Iterator[tuple[bytes, list[int]]]:
        for word, rules in self._by_key.get(data[at : at + self._key_bytes], {}).items():
            if data.startswith(word, at):
                yield word, rules


class Rules:
    """A set of rules, ready for a search."""

    def __init__(self, rows: Iterable[tuple[object, ...]]) -> None:
        self.all = [Rule(row) for row in rows]
        self._begins, self._within, self._near = _Words(2), _Words(3), _Words(3)
        for number, rule in enumerate(self.all):
            kind = rule.anchors()
            words, home = {
                "begins": (rule.begins, self._begins),
                "holds": (rule.holds, self._within),
                "near": (rule.near, self._near),
            }[kind]
            for word in words:
                home.add(word, number)
        begins, near = trie(self._begins.all), trie(self._near.all)
        self._after_sign = re.compile(b"[^A-Za-z0-9_](?=" + begins + b")")
        self._after_escape = re.compile(rb"\\[nrt](?=" + begins + b")")
        self._any_word = re.compile(trie(self._within.all))
        self._near_sign = re.compile(b"[^a-z](?=" + near + b")")

    def find(self, data: bytes, first: int = 0) -> list[Span]:
        """Every credential that begins at ``first`` or later, in order. Of overlapping ones the most specific wins:
        a rule that does not yield, then one by form before one by words, then the longer value."""
        found: list[tuple[int, int, int]] = []
        codes = [match.end() for match in _CODE.finditer(data)] if b"\x1b" in data else []
        small = data.lower()
        self._find_begins(data, codes, found)
        self._find_within(data, found)
        self._find_near(data, small, codes, found)
        return [
            Span(start, end, self.all[number].id, self.all[number].title)
            for start, end, number in self._chosen([one for one in found if one[0] >= first])
        ]

    def _find_begins(self, data: bytes, codes: list[int], found: list[tuple[int, int, int]]) -> None:
        places = [0] + [match.end() for match in self._after_sign.finditer(data)]
        if b"\\" in data:
            places += [match.end() for match in self._after_escape.finditer(data)]
        for start in places + codes:
            if goes_on(data, start):
                continue
            for _, rules in self._begins.at(data, start):
                for number in rules:
                    rule = self.all[number]
                    end = rule.end(data, start, len(data))
                    if end >= 0 and rule.is_one(data, start, end):
                        found.append((start, end, number))

    def _find_within(self, data: bytes, found: list[tuple[int, int, int]]) -> None:
        # Each rule searches a range once; with repeated words ranges would overlap.
        looked: dict[int, int] = {}
        match = self._any_word.search(data)
        while match is not None:
            at = match.start()
            for word, rules in self._within.at(data, at):
                for number in rules:
                    rule, seen = self.all[number], looked.get(number, 0)
                    if seen > at:
                        continue
                    start = max(at - rule.most, seen)
                    start = max(start, data.rfind(b"\n", start, at) + 1)
                    behind = at + len(word)

                    def take(one: int, end: int, number: int = number, behind: int = behind) -> None:
                        if end >= behind:
                            found.append((one, end, number))

                    looked[number] = _each(rule, data, start, at, take)
            match = self._any_word.search(data, at + 1)

    def _find_near(
        self, data: bytes, small: bytes, codes: list[int], found: list[tuple[int, int, int]]
    ) -> None:
        places = [0] + [match.end() for match in self._near_sign.finditer(small)] + codes
        cases = data.translate(_CASES)
        at = cases.find(b"aA")
        while at >= 0:
            places.append(at + 1)
            at = cases.find(b"aA", at + 2)
        for place in places:
            for word, rules in self._near.at(small, place):
                if not begins_word(data, place):
                    break
                behind = place + len(word)
                far = behind + NEAR_BYTES_MAX
                line = data.find(b"\n", behind, far)
                last = far if line < 0 else line
                for number in rules:

                    def take(one: int, end: int, number: int = number) -> None:
                        found.append((one, end, number))

                    _each(self.all[number], data, behind, last, take)

    def _chosen(self, found: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        def rank(one: tuple[int, int, int]) -> tuple[bool, bool, int, int, int]:
            start, end, number = one
            rule = self.all[number]
            return rule.yields, not rule.begins and not rule.holds, start - end, number, start

        chosen = Taken()
        kept = [one for one in sorted(set(found), key=rank) if chosen.add(one[0], one[1])]
        return sorted(kept)


class Taken:
    """Ranges that do not overlap."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for one in spans:
            self.add(one.start, one.end)

    def has(self, start: int, end: int) -> bool:
        """Whether a range overlaps one of these."""
        at = bisect_left(self._starts, end)
        return at > 0 and self._ends[at - 1] > start

    def add(self, start: int, end: int) -> bool:
        """Adds a range, if it overlaps none."""
        if self.has(start, end):
            return False
        at = bisect_left(self._starts, start)
        self._starts.insert(at, start)
        self._ends.insert(at, end)
        return True


def _each(rule: Rule, data: bytes, start: int, upto: int, take: Callable[[int, int], None]) -> int:
    """Reports the values of a rule that begin in a range. Returns where the search ended."""
    far = min(upto + rule.most, len(data))
    for place in _starts(data, start, min(upto + 1, len(data))):
        if place < start:
            continue
        end = rule.end(data, place, far)
        # The match may be wrong from its first byte on, but right from the next word on.
        if end >= 0 and rule.is_one(data, place, end):
            take(place, end)
            start = end
    return max(start, upto + 1)


def _starts(data: bytes, start: int, end: int) -> Iterator[int]:
    """Where a value may begin in a range."""
    if data.find(b"\x1b", max(0, start - 66), end) >= 0:
        return (at for at in range(start, end) if not goes_on(data, at))
    return (match.start() for match in _STARTS.finditer(data, start, end))


_shipped: list[Rules] = []


def shipped() -> Rules:
    """The rules that come with the package. Made ready on first use, which takes some hundredths of a second."""
    if not _shipped:
        # Two threads may both do it: the second one's work is only lost.
        _shipped.append(Rules(RULES))
    return _shipped[0]
