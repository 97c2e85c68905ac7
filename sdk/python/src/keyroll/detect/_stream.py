"""Redacts a text that arrives in pieces, with the same output however it is cut.

What is written goes out when what follows can no longer change it: at the end of a word. A word that does not end is
decided in cells of 4 KiB, each together with the 4 KiB after it. Private keys (PEM) are held up to 16 KiB, known values
with spaces as long as they are.
"""
from __future__ import annotations

import re
from typing import Pattern

from . import _engine, _expression, _scan
from ._known import Known
from ._whole import BEHIND_BYTES

# A word that does not end is decided in cells of so many bytes.
_CELL_BYTES = 4 * 1024
# Words before a value, and whether it begins a word, are read in so much text before it.
_BEFORE_BYTES = 256
# In what is held for long, so much must come before it is read once more: else small pieces would cost the square.
_PATIENCE_BYTES = 256

_SPACE = re.compile(rb"[\x00-\x20]")


class _Blocks:
    """Where values begin that have spaces or line ends."""

    def __init__(self) -> None:
        rules = _engine.shipped().all
        words = {word for rule in rules for word in rule.begins if rule.block or b" " in word}
        # Two may share their dashes.
        self.any_word = re.compile(b"(?=" + b"|".join(map(re.escape, sorted(words))) + b")")
        self.word_bytes_max = max(map(len, words))
        self.words = sorted(words)
        self._rules = [rule for rule in rules if any(word in words for word in rule.begins)]
        # Compiled when they are first needed: they are long.
        self._may_go_on: dict[str, Pattern[bytes]] = {}

    def open_at(self, data: bytes, at: int) -> bool:
        """Whether the text from here on may become a block with more text."""
        for rule in self._rules:
            if data.startswith(rule.begins, at):
                if rule.id not in self._may_go_on:
                    source = _expression.may_go_on(_expression.parse(rule.expression))
                    self._may_go_on[rule.id] = re.compile(source.encode())
                found = self._may_go_on[rule.id].match(data, at)
                if found is not None and found.end() == len(data):
                    return True
        return False


_ready: list[_Blocks] = []


def _blocks() -> _Blocks:
    if not _ready:
        _ready.append(_Blocks())
    return _ready[0]


def merged(spans: list[_engine.Span], known: list[_engine.Span]) -> list[_engine.Span]:
    """The findings of rules and the known values, in order; of overlapping ones everything is one finding, with the
    name of the known value."""
    found: list[_engine.Span] = []
    both = [(one.start, one.end, 0, one) for one in known] + [(one.start, one.end, 1, one) for one in spans]
    is_known = False
    for start, end, kind, one in sorted(both):
        if found and start < found[-1].end:
            last = found[-1]
            told = one if kind == 0 and not is_known else last
            found[-1] = _engine.Span(last.start, max(last.end, end), told.rule, told.title)
            is_known = is_known or kind == 0
        else:
            found.append(one)
            is_known = kind == 0
    return found


class Redactor:
    """Redacts pieces of bytes. Not for several threads at once."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._before = b""
        self._held = b""
        # The end of what is decided, if that is within findings: a known value may begin in it and end in what is held.
        self._reaching = b""
        # What came since the last attempt to decide: how much, and whether a word ended.
        self._quiet, self._ended = 0, False
        self.decided = 0
        """How much of everything is decided, bytes."""
        self.found: list[tuple[str, str]] = []

    def push(self, piece: bytes) -> bytes:
        """Takes a piece; gives what is decided."""
        return b"".join(_scan.marked(*one) for one in self.taken(piece))

    def finish(self) -> bytes:
        """Gives the rest: nothing follows."""
        return b"".join(_scan.marked(*one) for one in self.rest())

    def taken(self, piece: bytes) -> list[tuple[bytes, list[_engine.Span]]]:
        """Takes a piece; gives the parts that are decided, in order, each with the findings in it."""
        self._held += piece
        self._quiet += len(piece)
        self._ended = self._ended or _SPACE.search(piece) is not None
        # Without an end of a word nothing is decided, until a word is long. In a long block not each one is worth it.
        least = _PATIENCE_BYTES if len(self._held) - self._quiet > 4 * _PATIENCE_BYTES else 0
        if self._quiet < (least if self._ended else _CELL_BYTES):
            return []
        self._quiet, self._ended = 0, False
        return self._parts(last=False)

    def rest(self) -> list[tuple[bytes, list[_engine.Span]]]:
        """The parts of the rest: nothing follows."""
        parts = self._parts(last=True)
        self._before = self._reaching = b""
        return parts

    def undecided(self) -> tuple[bytes, bytes]:
        """The text before what is not decided yet, and that itself."""
        return self._before, self._held

    def has_a_finding(self) -> bool:
        """Whether what is not decided would have one if nothing followed."""
        return bool(self._held) and bool(self._spans(len(self._held)))

    def _parts(self, *, last: bool) -> list[tuple[bytes, list[_engine.Span]]]:
        parts: list[tuple[bytes, list[_engine.Span]]] = []
        while self._held:
            cut, spans = self._cut(last)
            if not cut:
                break
            parts.append((self._held[:cut], spans))
            self.found += [(one.rule, one.title) for one in spans]
            self.decided += cut
            self._reaching = self._end_of(cut, spans)
            self._before = (self._before + self._held[:cut])[-_BEFORE_BYTES:]
            self._held = self._held[cut:]
        return parts

    def _end_of(self, cut: int, spans: list[_engine.Span]) -> bytes:
        if not spans or spans[-1].end < cut:
            return b""
        start = spans[-1].start
        whole = self._held[start:cut] if start else self._reaching + self._held[:cut]
        longest = max(map(len, self._known.forms()), default=0)
        return whole[-longest:] if longest else b""

    def _known_spans(self, end: int) -> list[_engine.Span]:
        lead = len(self._reaching)
        before = self._before[: max(0, len(self._before) - lead)]
        behind = self._held[end : end + BEHIND_BYTES]
        found = self._known.find(self._reaching + self._held[:end], before, behind)
        return [one._replace(start=max(0, one.start - lead), end=one.end - lead) for one in found if one.end > lead]

    def _spans(self, end: int) -> list[_engine.Span]:
        """The findings in what is held, up to ``end``."""
        lead = len(self._before)
        data = self._before + self._held[:end]
        formed = _scan.by_form(data, lead)
        spans = formed + [one for one in _scan.by_position(data, formed) if one.start >= lead]
        shifted = [one._replace(start=one.start - lead, end=one.end - lead) for one in spans]
        return merged(shifted, self._known_spans(end))

    def _need(self) -> int:
        """How long a word must be to be decided in cells, bytes."""
        most = _engine.MATCH_BYTES_MAX
        blocks = _blocks()
        if blocks.any_word.search(self._held, 0, _CELL_BYTES + blocks.word_bytes_max):
            most = _engine.BLOCK_BYTES_MAX
        return _CELL_BYTES + 1 + max([most, *map(len, self._known.forms())])

    def _cut(self, last: bool) -> tuple[int, list[_engine.Span]]:
        """How much is decided, and its findings."""
        need, held = self._need(), self._held
        space = _SPACE.search(held, 0, need)
        if space is None and len(held) >= need:
            return self._cell(need)
        if space is None and not last:
            return 0, []
        long = re.compile(rb"[^\x00-\x20]{%d,}" % need).search(held) if len(held) >= need else None
        limit = len(held) if long is None else long.start()
        end = limit
        if long is None and not last:
            end = max(map(re.Match.end, _SPACE.finditer(held, max(0, limit - need))), default=0)
        spans = self._spans(min(len(held), limit + _engine.BLOCK_BYTES_MAX))
        if last and long is None:
            return end, spans
        safe = self._safe(end, spans, last)
        if not safe:
            # A finding that reaches into a long word is decided as soon as it is complete.
            first = spans[0] if spans else None
            if first is not None and long is not None and first.start < limit <= first.end < len(held):
                return first.end, [first]
            return (limit, [one for one in spans if one.end <= limit]) if last and long is not None else (0, [])
        return safe, [one for one in spans if one.end <= safe]

    def _cell(self, need: int) -> tuple[int, list[_engine.Span]]:
        cut = _CELL_BYTES
        # Not within a letter of UTF-8.
        while cut < need and self._held[cut] & 0xC0 == 0x80:
            cut += 1
        spans = [one for one in self._spans(need) if one.start < cut]
        return max([cut, *(one.end for one in spans)]), spans

    def _safe(self, end: int, spans: list[_engine.Span], last: bool) -> int:
        """The last place up to ``end`` after a space, with nothing across it that is or may become a finding."""
        blocks, held = _blocks(), self._held
        across = [(one.start, one.end) for one in spans if _SPACE.search(held, one.start, one.end)]
        if not last:
            opened = (match.start() for match in blocks.any_word.finditer(held, 0))
            across += [(start, len(held) + 1) for start in opened if blocks.open_at(held, start)]
            across += [(start, len(held) + 1) for start in self._begun()]
        while end:
            start = min((one[0] for one in across if one[0] < end < one[1]), default=-1)
            if start < 0:
                return end
            end = max(map(re.Match.end, _SPACE.finditer(held, 0, start)), default=0)
        return 0

    def begins_a_known_value(self, least: int) -> bool:
        """Whether what is held ends with the first ``least`` bytes or more of a known value, or all of it."""
        held = self._reaching + self._held
        for form in self._known.forms():
            at = held.find(form[:least], max(0, len(held) - len(form)))
            while at >= 0:
                if form.startswith(held[at:]):
                    return True
                at = held.find(form[:least], at + 1)
        return False

    def _begun(self) -> list[int]:
        """Where a known value with spaces, or a word with which a block begins, may have begun."""
        found, held, lead = [], self._reaching + self._held, len(self._reaching)
        for form in (*_blocks().words, *(form for form in self._known.forms() if _SPACE.search(form))):
            at = held.find(form[:1], max(0, len(held) - len(form) + 1))
            while at >= 0:
                if form.startswith(held[at:]):
                    found.append(max(0, at - lead))
                    break
                at = held.find(form[:1], at + 1)
        return found
