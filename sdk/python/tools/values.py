"""Values that match a rule's expression, the same for the same seed. None of them opens anything."""
from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from keyroll.detect import _checksum, _expression  # noqa: E402
from keyroll.detect._engine import Rule  # noqa: E402

_ALL = [bytes((byte,)) for byte in range(128)]


class Draws:
    """Splitmix64."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, limit: int) -> int:
        self.state = self.state + 0x9E3779B97F4A7C15 & (1 << 64) - 1
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
        z = (z ^ z >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
        return (z ^ z >> 31) % limit


def draw(sequence: _expression.Sequence, draws: Draws, more: int = 0) -> bytes:
    """Each repetition as short as it may be, and up to `more` longer."""
    value = b""
    for item in sequence:
        count = item.least + draws.below(min(more, item.most - item.least) + 1)
        for _ in range(count):
            if item.group:
                value += draw(item.group[draws.below(len(item.group))], draws, more)
            else:
                one = re.compile(item.source.encode())
                fits = [byte for byte in _ALL if one.fullmatch(byte)]
                value += fits[draws.below(len(fits))]
    return value


def fitted(kind: str, value: bytes) -> bytes:
    """The value with a right end."""
    if kind == "bech32":
        text = value.lower()[:-6] + b"q" * 6
        rest = (_checksum.polymod(text) or 0) ^ 1
        end = bytes(b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"[rest >> 5 * (5 - place) & 31] for place in range(6))
        text = text[:-6] + end
        return text.upper() if value[:1].isupper() else text
    end = _checksum.end_of(kind, value)
    return value if end is None else value[: len(value) - len(end)] + end


def value_of(rule: Rule, seed: int, more: int = 0) -> bytes:
    from keyroll.detect._engine import entropy

    draws = Draws(seed)
    for _ in range(100):
        value = fitted(rule.checksum, draw(_expression.parse(rule.expression), draws, more))
        if entropy(value) >= rule.entropy:
            return value
    raise AssertionError(rule.id)
