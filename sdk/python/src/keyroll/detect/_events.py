"""Redacts secrets that are split over the events of a stream, as a model's answer is: ``data: {"delta": {"text": …}}``.

The texts of such events are read as one text for each place in their JSON. An event waits while its text may end with
half a secret. What a single event holds is redacted before it comes here.
"""
from __future__ import annotations

import json
import re
from collections import deque
from typing import Any, Iterator

from . import _engine, _scan
from ._hold import may_go_out
from ._known import Known
from ._stream import Redactor

# The members with pieces of an answer in the protocols of models.
_KEYS = frozenset((
    "delta", "text", "content", "partial_json", "arguments", "thinking", "reasoning", "reasoning_content", "completion",
    "response", "output_text", "chunk", "answer", "generation", "generated_text", "outputText", "transcript", "refusal",
    "reasoningText", "tool_plan", "input", "inputTextDelta", "textDelta", "argsTextDelta", "",
))
# They tell apart texts at the same place of the JSON.
_NUMBERS = ("index", "output_index", "content_index")
_DEPTH_MAX = 32
_TEXTS_MAX = 256
# What may wait, and how long one event may be.
WAITING_BYTES_MAX = 1024 * 1024
WAITING_MAX = 16 * 1024

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_LAST = re.compile(r"(?:\A|[._:-])(?:stop|done|end|finish|finished|complete|completed|error)\Z", re.IGNORECASE)
# A model makes no pause within a word: after so many signs of life without more text, what waits may go out.
_PAUSES = 2


class _Text:
    """The text at one place, as one."""

    def __init__(self, known: Known) -> None:
        self.redactor = Redactor(known)
        self.size = 0
        # Up to here it may go out.
        self.clear = 0
        self.pauses = 0
        self.waiting: deque[_Part] = deque()


class _Part:
    """The part of a text that one event has: ``home[key]``."""

    __slots__ = ("text", "start", "end", "home", "key", "cuts")

    def __init__(self, text: _Text, start: int, end: int, home: Any, key: Any) -> None:
        self.text, self.start, self.end, self.home, self.key = text, start, end, home, key
        # What is replaced: from, to, by what.
        self.cuts: list[tuple[int, int, bytes]] = []

    def redact(self) -> bool:
        """Puts the markers into the event; whether there are any."""
        if self.cuts:
            data, out, at = self.home[self.key].encode("utf-8", "surrogatepass"), [], 0
            for start, end, marker in self.cuts:
                out += [data[at:start], marker]
                at = end
            self.home[self.key] = (b"".join(out) + data[at:]).decode("utf-8", "surrogatepass")
        return bool(self.cuts)


class _Event:
    """An event as it came, and its data, if that is JSON; else its data is a text itself."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.lines = [line for line in _LINE.findall(raw) if line]
        self.name = ""
        self.parts: list[_Part] = []
        data = [line[5:].rstrip(b"\r\n") for line in self.lines if line.startswith(b"data:")]
        self.has_data = bool(data)
        whole = b"\n".join(one[1:] if one.startswith(b" ") else one for one in data).decode("utf-8", "surrogateescape")
        self.root: dict[str, Any] = {"": whole}
        self.is_json = False
        try:
            value = json.loads(whole)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, (dict, list, str)):
            self.root, self.is_json = {"": value}, True
        for line in self.lines:
            if line.startswith(b"event:"):
                self.name = line[6:].strip().decode("utf-8", "replace")

    def kind(self) -> str:
        value = self.root[""]
        kind = value.get("type") if isinstance(value, dict) else None
        return kind if isinstance(kind, str) else self.name

    def is_last(self) -> bool:
        """Whether a text ends with it: what follows is another one."""
        value = self.root[""]
        return isinstance(value, str) and value.strip() == "[DONE]" or _LAST.search(self.kind()) is not None

    def numbers(self) -> tuple[object, ...]:
        """Which text it is about."""
        value = self.root[""]
        return _numbers_of(value) if isinstance(value, dict) else ()

    def keeps_alive(self) -> bool:
        """A comment, or the like, with which a server shows in a pause that it is there."""
        return not self.has_data or self.kind() == "ping"

    def shown(self) -> bytes:
        """As it goes out."""
        if not any([part.redact() for part in self.parts]):
            return self.raw
        value = self.root[""]
        written = json.dumps(value) if self.is_json else value
        out, told = [], False
        for line in self.lines:
            if not line.startswith(b"data:"):
                out.append(line)
            elif not told:
                told, end = True, line[len(line.rstrip(b"\r\n")) :] or b"\n"
                texts = written.encode("utf-8", "surrogateescape").split(b"\n")
                out += [b"data: " + text + end for text in texts]
        return b"".join(out)


class Events:
    """Redacts the events of one stream. Not for several threads at once."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._begun = b""
        self._waiting: deque[_Event] = deque()
        self._waiting_bytes = 0
        self._texts: dict[tuple[object, ...], _Text] = {}
        self.found: list[tuple[str, str]] = []

    def push(self, data: bytes) -> bytes:
        """Takes a piece of the stream; gives the events that need not wait."""
        seen = max(0, len(self._begun) - 3)
        self._begun += data
        at = 0
        end = _END.search(self._begun, seen)
        while end is not None:
            self._take(self._begun[at : end.end()])
            at = end.end()
            end = _END.search(self._begun, at)
        self._begun = self._begun[at:]
        if len(self._begun) > WAITING_BYTES_MAX:
            self._take(self._begun)
            self._begun = b""
        if self._waiting_bytes > WAITING_BYTES_MAX or len(self._waiting) > WAITING_MAX:
            self._end_texts()
        return self._ready()

    def finish(self) -> bytes:
        """Gives the rest."""
        if self._begun:
            self._take(self._begun)
            self._begun = b""
        self._end_texts()
        return self._ready()

    def _take(self, raw: bytes) -> None:
        event = _Event(raw)
        self._waiting.append(event)
        self._waiting_bytes += len(raw)
        if event.has_data:
            for place, home, key in _texts_in(event.root):
                self._add(event, place, home, key)
        if event.is_last():
            self._end_texts(event.numbers())
        elif event.keeps_alive():
            self._pause()

    def _pause(self) -> None:
        for text in self._texts.values():
            text.pauses += 1
            if text.pauses >= _PAUSES and text.clear < text.size and not text.redactor.has_a_finding():
                text.clear = text.size

    def _add(self, event: _Event, place: tuple[object, ...], home: Any, key: Any) -> None:
        data = home[key].encode("utf-8", "surrogatepass")
        if place not in self._texts and len(self._texts) >= _TEXTS_MAX:
            self._end_texts()
            self._texts.clear()
        text = self._texts.setdefault(place, _Text(self._known))
        part = _Part(text, text.size, text.size + len(data), home, key)
        text.size, text.pauses = part.end, 0
        event.parts.append(part)
        text.waiting.append(part)
        self._apply(text, text.redactor.taken(data))
        if may_go_out(text.redactor):
            text.clear = text.size

    def _end_texts(self, numbers: tuple[object, ...] = ()) -> None:
        """Nothing follows in the texts with these numbers, those that an event has."""
        for place, text in self._texts.items():
            # At the start of a place are the numbers of the root, which has none, and its only key.
            own = place[len(_NUMBERS) + 1 :]
            if any(one is not None and one != two for one, two in zip(numbers, own)):
                continue
            self._apply(text, text.redactor.rest())
            text.clear = text.size

    def _apply(self, text: _Text, decided: list[tuple[bytes, list[_engine.Span]]]) -> None:
        """Notes the findings in the parts that have not gone out."""
        at = text.redactor.decided - sum(len(data) for data, _ in decided)
        for data, spans in decided:
            for one in spans:
                self._note(text, at + one.start, at + one.end, one.rule)
                self.found.append((one.rule, one.title))
            at += len(data)
        text.clear = max(text.clear, text.redactor.decided)

    def _note(self, text: _Text, start: int, end: int, rule: str) -> None:
        marker = _scan.MARKER.format(rule).encode()
        for part in text.waiting:
            first, last = max(start, part.start), min(end, part.end)
            if first < last:
                part.cuts.append((first - part.start, last - part.start, marker))
                # The parts after the first one only lose theirs.
                marker = b""

    def _ready(self) -> bytes:
        out: list[bytes] = []
        while self._waiting and all(part.end <= part.text.clear for part in self._waiting[0].parts):
            event = self._waiting.popleft()
            self._waiting_bytes -= len(event.raw)
            for part in event.parts:
                part.text.waiting.popleft()
            out.append(event.shown())
        return b"".join(out)


def _texts_in(root: Any) -> Iterator[tuple[tuple[object, ...], Any, Any]]:
    """The texts of an answer in JSON: the place, and the container and key that hold it."""
    todo: list[tuple[Any, tuple[object, ...]]] = [(root, ())]
    while todo:
        home, way = todo.pop()
        members = home.items() if isinstance(home, dict) else enumerate(home)
        way += _numbers_of(home) if isinstance(home, dict) else ()
        for key, value in members:
            if isinstance(value, str) and value and key in _KEYS:
                yield (*way, key), home, key
            elif isinstance(value, (dict, list)) and len(way) < 4 * _DEPTH_MAX:
                todo.append((value, (*way, key)))


def _numbers_of(home: dict[str, Any]) -> tuple[object, ...]:
    numbers = (home.get(one) for one in _NUMBERS)
    return tuple(one if isinstance(one, (int, str)) else None for one in numbers)
