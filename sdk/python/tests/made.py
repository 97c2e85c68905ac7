"""Values in the form of credentials, made anew in each run. None of them opens anything."""

from __future__ import annotations

import base64
import random
import re
import secrets
from typing import Callable

from keyroll.detect import _checksum, _expression
from keyroll.detect._engine import Rule, entropy, shipped

_BYTES = [bytes((byte,)) for byte in range(128)]

Below = Callable[[int], int]
"""A source of numbers: gives one from 0 to below its argument."""


def drawn(sequence: _expression.Sequence, more: int = 0, below: Below = secrets.randbelow) -> bytes:
    """A match of an expression; each repetition as short as it may be, and up to ``more`` longer."""
    value = b""
    for item in sequence:
        fits = [byte for byte in _BYTES if not item.group and re.fullmatch(item.source.encode(), byte)]
        for _ in range(item.least + below(min(more, item.most - item.least) + 1)):
            value += drawn(item.group[below(len(item.group))], more, below) if item.group else fits[below(len(fits))]
    return value


def of_rule(name: str, more: int = 0) -> str:
    """A value that the rule finds."""
    rule = next(rule for rule in shipped().all if rule.id == name)
    for _ in range(1000):
        value = formed(rule, more)
        if not rule.checksum or _checksum.fits(rule.checksum, value):
            return value.decode()
    raise AssertionError(f"no value of {name}")


def formed(rule: Rule, more: int = 0, below: Below = secrets.randbelow) -> bytes:
    """A match of a rule's expression with the rule's entropy, and with a right end if the rule says how to make it."""
    for _ in range(1000):
        value = _fitted(rule.checksum, drawn(_expression.parse(rule.expression), more, below))
        if entropy(value) >= rule.entropy:
            return value
    raise AssertionError(f"no value of {rule.id}")


def _fitted(checksum: str, value: bytes) -> bytes:
    """The value with a right end."""
    if checksum == "bech32":
        text = value.lower()[:-6]
        rest = (_checksum.polymod(text + b"q" * 6) or 0) ^ 1
        text += bytes(b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"[rest >> 5 * (5 - place) & 31] for place in range(6))
        return text.upper() if value[:1].isupper() else text
    end = _checksum.end_of(checksum, value) if checksum else None
    return value if end is None else value[: len(value) - len(end)] + end


def pem() -> str:
    """A private key as files have it: its content is random."""
    lines = "\n".join("MI" + secrets.token_hex(30) for _ in range(9))
    word = "PRIVATE " + "KEY"
    return f"-----BEGIN {word}-----\nMIIE{secrets.token_hex(30)}\n{lines}\n-----END {word}-----"


def password() -> str:
    """Random, without a form: letters and digits."""
    while True:
        value = base64.b64encode(secrets.token_bytes(15)).decode()
        # Without signs that have a meaning elsewhere, and not like a word.
        if value.isalnum() and len(re.findall("[0-9]+", value)) > 2:
            return value


def pieces(text: str, count: int, draws: random.Random) -> list[str]:
    """The text cut at random places."""
    cuts = sorted(draws.sample(range(1, len(text)), min(count, len(text) - 1)))
    return [text[one:two] for one, two in zip([0, *cuts], [*cuts, len(text)])]
