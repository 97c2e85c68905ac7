"""Checks what an agent gives back: texts, bytes, and structures like those of JSON."""
from __future__ import annotations

import datetime
import enum
import inspect
import numbers
import uuid
from typing import Any, Callable, NamedTuple, Sequence

from . import _engine, _likely, _places, _scan, shown
from ._known import KNOWN_BYTES_MIN, Known
from ._stream import merged

DEPTH_MAX = 100
"""How deep a structure may be nested. What is deeper is withheld."""

WITHHELD = "[withheld: nested too deeply]"
UNREADABLE = "[withheld: no text could be made of it]"
REPEATED = "[repeated]"
"""Stands for a container within itself."""

# No secrets: they are given back as they are.
_PLAIN = (
    type(None), bool, int, float, numbers.Number,
    datetime.date, datetime.time, datetime.timedelta, uuid.UUID, enum.Enum,
)
_CONTAINERS = (dict, list, tuple, set, frozenset)
_NAME_SHOWN_MAX = 100


class Hit(NamedTuple):
    """A finding, without its value."""

    type: str
    redacted: str
    position: int
    path: str


class Checker:
    """Checks one output: ``clean`` gives it back redacted, ``hits`` are the findings.

    ``texts_of`` make the texts that an object of another type may become; the object itself is given back if none has
    a finding, and is withheld if one cannot be made. Without them such an object is a TypeError. A container that is at
    several places is checked once for each name that lists of it stand under: without that, a small structure could
    take for ever.
    """

    def __init__(self, known: Known, texts_of: Sequence[Callable[[object], str]] = ()) -> None:
        self._known = known
        self._texts_of = texts_of
        self._inside: set[int] = set()
        # With the container itself, so that its id is not given to another one.
        self._seen: dict[tuple[int, str], tuple[Any, Any]] = {}
        self.hits: list[Hit] = []

    def clean(self, output: Any, path: str = "$", name: str = "", depth: int = 0) -> Any:
        """The same structure with markers. Raises TypeError for what cannot be checked."""
        if isinstance(output, str):
            data = output.encode("utf-8", "surrogatepass")
            safe = self.text(data, path, name, True)
            # Not made anew: it may be of a type of its own.
            return output if safe is data else safe.decode("utf-8", "surrogatepass")
        if isinstance(output, (bytes, bytearray, memoryview)):
            data = bytes(output)
            safe = self.text(data, path, name, False)
            return output if safe is data else bytearray(safe) if isinstance(output, bytearray) else safe
        if isinstance(output, _PLAIN):
            return output
        if not isinstance(output, _CONTAINERS):
            return self._other(output, path, name)
        key = (id(output), "" if isinstance(output, dict) else name)
        if id(output) in self._inside:
            return REPEATED
        if key in self._seen:
            return self._seen[key][1]
        if depth >= DEPTH_MAX:
            self.hits.append(Hit("nested too deeply to be checked", "****", 0, path))
            return WITHHELD
        self._inside.add(id(output))
        cleaned = self._contained(output, path, name, depth)
        self._inside.remove(id(output))
        self._seen[key] = (output, cleaned)
        return cleaned

    def _contained(self, output: Any, path: str, name: str, depth: int) -> Any:
        if isinstance(output, dict):
            return self._members(output, path, depth)
        items = [self.clean(one, f"{path}[{at}]", name, depth + 1) for at, one in enumerate(output)]
        # Sets too: two of their members may have the same marker. A frozen one may be the key of a member.
        return tuple(items) if isinstance(output, (tuple, frozenset)) else items

    def _other(self, output: Any, path: str, name: str) -> Any:
        if not self._texts_of:
            kind = type(output).__name__
            if _is_response(output):
                raise TypeError(
                    f"a response ({kind}) cannot be checked: wrap the ASGI app instead, "
                    "app = agent_output_middleware(app)"
                )
            raise TypeError(f"an output of the type {kind} cannot be checked: give text, bytes or JSON-like data")
        try:
            texts = dict.fromkeys(text_of(output) for text_of in self._texts_of)
        except Exception:  # Its methods may raise anything.
            self.hits.append(Hit("an object that could not be checked", "****", 0, path))
            return UNREADABLE
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            safe = self.text(data, path, name, True)
            if safe is not data:
                return safe.decode("utf-8", "surrogatepass")
        return output

    def _members(self, output: dict[Any, Any], path: str, depth: int) -> dict[Any, Any]:
        cleaned: dict[Any, Any] = {}
        for key, value in output.items():
            safe: Any = self.clean(key, path, depth=depth + 1)
            # Two keys may become the same.
            while safe != key and safe in cleaned:
                safe = safe + b"'" if isinstance(safe, bytes) else f"{safe}'"
            word = str(safe)[:_NAME_SHOWN_MAX] if isinstance(safe, (str, int)) else "?"
            cleaned[safe] = self.clean(value, f"{path}.{word}", key if isinstance(key, str) else "", depth + 1)
        return cleaned

    def text(self, data: bytes, path: str, name: str, characters: bool) -> bytes:
        """A text, which may stand under a name, with markers."""
        # Every form, every value of a name and every known value is longer.
        if len(data) < KNOWN_BYTES_MIN:
            return data
        found = merged(_under_a_name(data, name) if name else _scan.find(data), self._known.find(data))
        if not found:
            return data
        # What was counted is not counted again: for many findings that would take the square of their number.
        counted = characters_before = 0
        for one in found:
            if characters:
                characters_before += len(data[counted : one.start].decode("utf-8", "surrogatepass"))
                counted = one.start
            value = data[one.start : one.end].decode("utf-8", "replace")
            self.hits.append(Hit(one.title, shown(value), characters_before if characters else one.start, path))
        return _scan.marked(data, found)


def _under_a_name(data: bytes, name: str) -> list[_engine.Span]:
    """The findings in the value of a member, which may depend on its name."""
    lead = name[-_engine.NEAR_BYTES_MAX :].encode("utf-8", "replace") + b'": "'
    whole = lead + data + b'"'
    formed = [one for one in _scan.by_form(whole, len(lead)) if one.end <= len(lead) + len(data)]
    found = [one._replace(start=one.start - len(lead), end=one.end - len(lead)) for one in formed]
    taken = _engine.Taken(found)
    found += [one for one in _scan.find(data) if taken.add(one.start, one.end)]
    member = _places.Named(name, len(lead), len(lead) + len(data))
    if not found and _scan.may_be(whole, member) and _likely.is_likely(whole, member):
        return [_engine.Span(0, len(data), *_scan.NAMED)]
    return sorted(found)


def _is_response(output: object) -> bool:
    """Whether it looks like the answer of a web framework. Asks no property: those may do anything."""

    def has(name: str) -> bool:
        return inspect.getattr_static(output, name, None) is not None

    return has("headers") and (has("status_code") or has("status"))
