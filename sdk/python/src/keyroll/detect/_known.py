"""Known values, and where they are in a text."""
from __future__ import annotations

import logging
import re
from typing import Iterable, NoReturn, Pattern, Sequence

from ._engine import Span
from ._forms import forms_of

KNOWN_BYTES_MIN = 8
"""The shortest known value. Shorter ones occur by chance."""

# How many former values of a secret are searched for too: they may still work for a while.
_FORMER_MAX = 8
_TITLE = "known value"
# The secrets of which a short value was told: once each, however often they are searched for.
_told_short: set[str] = set()
_TOLD_MAX = 256


class Known:
    """Values to search for: texts, and secrets that rotate (objects with a method ``get``).

    A secret's value is read now and each time, so that a new one is found at once. Found too are the one before it, as
    long as a RotatableSecret keeps it, those that it dropped because they are compromised (16 at most), and those that
    were read before (8 at most). Nothing is fetched for it: of a token manager only the token that it holds is read. A
    secret that has no value yet is passed over, and so is a value under 8 bytes, with one warning. Raises ValueError
    for a text under 8 bytes, TypeError for anything else.
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
        self._ready: tuple[dict[str, str], Pattern[bytes] | None, dict[bytes, str]] = ({}, None, {})
        # Now and not at the first text: the values of today may have been replaced by then.
        self._search()

    def __repr__(self) -> str:
        return f"<Known values={len(self._fixed)} secrets={len(self._secrets)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("known values cannot be pickled")

    def find(self, data: bytes) -> list[Span]:
        """The known values in bytes, from the left. Those that overlap are one, with the name of the first."""
        pattern, names = self._search()
        spans: list[Span] = []
        found = None if pattern is None else pattern.search(data)
        while found is not None and pattern is not None:
            start, end = found.span()
            if spans and start < spans[-1].end:
                spans[-1] = spans[-1]._replace(end=max(end, spans[-1].end))
            else:
                spans.append(Span(start, end, names[found[0]], _TITLE))
            # Another one may begin within it.
            found = pattern.search(data, start + 1)
        return spans

    def forms(self) -> Sequence[bytes]:
        """Everything that is searched for."""
        return tuple(self._search()[1])

    def _search(self) -> tuple[Pattern[bytes] | None, dict[bytes, str]]:
        if not self._fixed and not self._secrets:
            return None, {}
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
        before, pattern, names = self._ready
        if before == values:
            return pattern, names
        names = {}
        for value, name in values.items():
            for form in forms_of(value):
                names.setdefault(form, name)
        all_forms = sorted(names, key=lambda form: (-len(form), form))
        pattern = re.compile(b"|".join(map(re.escape, all_forms))) if all_forms else None
        self._ready = (values, pattern, names)
        return pattern, names


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
