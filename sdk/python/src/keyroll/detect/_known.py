"""Known values, and where they are in a text."""
from __future__ import annotations

import logging
import re
from typing import Iterable, NoReturn, Pattern, Sequence

from ._engine import Span
from ._forms import forms_of
from ._judge import occurs_in_words
from ._whole import BEFORE_BYTES, BEHIND_BYTES, stands_alone

KNOWN_BYTES_MIN = 8
"""The shortest known value. Shorter ones occur by chance."""

# How many former values of a secret are searched for too: they may still work for a while.
_FORMER_MAX = 8
_TITLE = "known value"
# The secrets of which a short value was told: once each, however often they are searched for.
_told_short: set[str] = set()
_TOLD_MAX = 256


class _Search:
    """The forms of values, prepared to be searched for."""

    __slots__ = ("names", "pattern", "_sorted", "_words")

    def __init__(self, values: dict[str, str]) -> None:
        self.names: dict[bytes, str] = {}
        # Of a word its own form alone must be a whole word, unless it is a form of another value.
        others: set[bytes] = set()
        words: set[bytes] = set()
        for value, name in values.items():
            raw = value.encode("utf-8", "surrogatepass")
            is_word = occurs_in_words(raw)
            for form in forms_of(value):
                self.names.setdefault(form, name)
                (words if is_word and form == raw else others).add(form)
        self._words = words - others
        self._sorted = sorted(self.names, key=lambda form: (-len(form), form))
        expression = b"|".join(map(re.escape, self._sorted))
        self.pattern: Pattern[bytes] | None = re.compile(expression) if expression else None

    def at(self, data: bytes, start: int, form: bytes, before: bytes, behind: bytes) -> bytes:
        """The longest form that counts at this place, where ``form`` is the longest of all; empty if there is none."""
        if form not in self._words:
            return form
        for shorter in self._sorted:
            if len(shorter) <= len(form) and data.startswith(shorter, start):
                end = start + len(shorter)
                left = before + data[:start] if start < BEFORE_BYTES else data[start - BEFORE_BYTES : start]
                right = data[end : end + BEHIND_BYTES] + behind
                if shorter not in self._words or stands_alone(left, shorter, right):
                    return shorter
        return b""


_NOTHING = _Search({})


class Known:
    """Values to search for: texts, and secrets that rotate (objects with a method ``get``).

    A secret's value is read now and each time, so that a new one is found at once. Found too are the one before it, as
    long as a RotatableSecret keeps it, those that it dropped because they are compromised (16 at most), and those that
    were read before (8 at most). Nothing is fetched for it: of a token manager only the token that it holds is read. A
    secret that has no value yet is passed over, and so is a value under 8 bytes, with one warning. Raises ValueError
    for a text under 8 bytes, TypeError for anything else.

    A value that is an ordinary word, and under 16 bytes, is found as it is only where it stands as a whole
    word: ``optimize`` leaves ``optimized`` unchanged. In another encoding it is found everywhere.
    """

    __slots__ = ("_fixed", "_secrets", "_former", "_ready")

    def __init__(self, known: Iterable[object] = ()) -> None:
        if isinstance(known, (str, bytes)):
            raise TypeError("known is a list of values, not one value")
        self._fixed: dict[str, str] = {}
        self._secrets: list[object] = []
        for number, one in enumerate(known):
            if isinstance(one, str):
                if _is_short(one):
                    raise ValueError(f"the known value {number} has fewer than {KNOWN_BYTES_MIN} bytes")
                self._fixed[one] = "known-value"
            elif not isinstance(one, (type, dict)) and (_peeks(one) or callable(getattr(one, "get", None))):
                self._secrets.append(one)
            else:
                raise TypeError(f"the known value {number} is neither a text nor a secret with get()")
        # Replaced and never changed: no lock, because a fork could leave one locked.
        self._former: list[tuple[str, ...]] = [() for _ in self._secrets]
        self._ready: tuple[dict[str, str], _Search] = ({}, _NOTHING)
        # Now and not at the first text: the values of today may have been replaced by then.
        self._search()

    def __repr__(self) -> str:
        return f"<Known values={len(self._fixed)} secrets={len(self._secrets)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("known values cannot be pickled")

    def find(self, data: bytes, before: bytes = b"", behind: bytes = b"") -> list[Span]:
        """The known values in bytes, from the left. Those that overlap are one, with the name of the first.

        ``before`` and ``behind`` are the texts around the bytes, as far as they are known.
        """
        search = self._search()
        spans: list[Span] = []
        found = None if search.pattern is None else search.pattern.search(data)
        while found is not None and search.pattern is not None:
            start = found.start()
            form = search.at(data, start, found[0], before, behind)
            end = start + len(form)
            if form and spans and start < spans[-1].end:
                spans[-1] = spans[-1]._replace(end=max(end, spans[-1].end))
            elif form:
                spans.append(Span(start, end, search.names[form], _TITLE))
            # Another one may begin within it.
            found = search.pattern.search(data, start + 1)
        return spans

    def forms(self) -> Sequence[bytes]:
        """Everything that is searched for."""
        return tuple(self._search().names)

    def _search(self) -> _Search:
        if not self._fixed and not self._secrets:
            return _NOTHING
        values = dict(self._fixed)
        for number, secret in enumerate(self._secrets):
            former, name = self._former[number], _safe_name(getattr(secret, "name", None))
            for value in _values_of(secret):
                if _is_short(value):
                    _tell_short(name)
                elif value not in former:
                    former = (*former[1 - _FORMER_MAX :], value)
                    self._former[number] = former
            values.update(dict.fromkeys(former, name))
            # Read last: a value that is dropped meanwhile was either held before or is here now.
            values.update((value, name) for value in _dropped_of(secret) if not _is_short(value))
        before, search = self._ready
        if before == values:
            return search
        search = _Search(values)
        self._ready = (values, search)
        return search


def _peeks(secret: object) -> bool:
    """Whether it gives what it holds without asking for a new value, which would be a request for each text."""
    return callable(getattr(secret, "_peek", None))


def _values_of(secret: object) -> list[str]:
    """What a secret holds: the current value, and the previous one, which may still be valid."""
    found: list[object] = []
    try:
        found.append(secret._peek() if _peeks(secret) else secret.get())  # type: ignore[attr-defined]
    except Exception:  # It has no value yet, or its source is away.
        pass
    held = getattr(secret, "_held", None)
    # In this order none is missed if the value is replaced meanwhile.
    found += [getattr(held, "previous", None), getattr(held, "current", None)]
    texts = (getattr(one, "value", one) for one in found)
    return [one for one in texts if isinstance(one, str) and one]


def _dropped_of(secret: object) -> tuple[str, ...]:
    """What a secret dropped because it is compromised: such a value may still be in what is written."""
    dropped = getattr(getattr(secret, "_held", None), "dropped", ())
    return tuple(one for one in dropped if isinstance(one, str)) if isinstance(dropped, tuple) else ()


def _is_short(value: str) -> bool:
    return len(value.encode("utf-8", "surrogatepass")) < KNOWN_BYTES_MIN


def _tell_short(name: str) -> None:
    if name in _told_short or len(_told_short) >= _TOLD_MAX:
        return
    # Before the warning, which may go through a filter that searches for the same secret.
    _told_short.add(name)
    logging.getLogger("keyroll").warning(
        "a value of %s has fewer than %d bytes: texts are not searched for it", name, KNOWN_BYTES_MIN
    )


def _safe_name(name: object) -> str:
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_./:-]{1,64}", name):
        return name
    return "known-value"
