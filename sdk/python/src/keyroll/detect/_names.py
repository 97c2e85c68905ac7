"""What a name says of its value: ``OPENAI_API_KEY``, ``dbPassword``, ``bot-token`` name secrets, ``TOKEN_FILE`` not."""
from __future__ import annotations

import re
from functools import lru_cache

from . import _judge
from ._words import (
    ABOUT,
    AFTER,
    CHOSEN,
    DIRECTIVES,
    HARMLESS_KEYS,
    JOINED,
    LAST,
    OF_REQUESTS,
    PASSING,
)

_LAST = tuple(tuple(words.split(" ")) for words in LAST)
_LAST_WORDS = frozenset(words[-1] for words in _LAST)
_AFTER, _ABOUT, _PASSING = frozenset(AFTER), frozenset(ABOUT), frozenset(PASSING)
# A cheap test: one of these is in every name of a secret.
_MAY_BE = re.compile(r"key|token|secret|pass|pwd|credential|creds|auth|_salt|pepper|psk|pw\d*\Z", re.IGNORECASE)
_ENCRYPTED = frozenset(("encrypted", "sealed", "hashed"))
_PARTS = re.compile(r"[A-Za-z0-9]+")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_VARIABLE = re.compile(r"[A-Z0-9_]+\Z")


@lru_cache(maxsize=1024)
def names_a_secret(name: str) -> bool:
    """Whether the value of a name is a secret."""
    if not _MAY_BE.search(name) or name.lower() in DIRECTIVES:
        return False
    words = _words_before(name)
    # The name of a .NET assembly contains a public token; `existingSecret` refers to one.
    if words[-3:] == ("public", "key", "token") or words[-2:] == ("public", "token") or words[:1] == ("existing",):
        return False
    if words and words[-1] in _ABOUT or _is_passing(words):
        return False
    # What the value was before nobody can read from it.
    if not _ENCRYPTED.isdisjoint(words):
        return False
    if words and words[-1].endswith(JOINED):
        return True
    return any(words[-len(last) :] == last for last in _LAST)


@lru_cache(maxsize=1024)
def names_a_password(name: str) -> bool:
    """Whether it is a password, which people choose: ``dbPassword``, not ``API_TOKEN``."""
    words = _words_before(name)
    last = words[-1] if words else ""
    return names_a_secret(name) and (last in CHOSEN or last.endswith(("password", "passwd")))


def names_a_request(name: str) -> bool:
    """``clientToken``, ``RequestToken``: they identify a request."""
    words = _words_before(name)
    return len(words) > 1 and words[-1] == "token" and words[-2] in OF_REQUESTS


def holds_a_secret(name: str, value: bytes) -> bool:
    """Every name of a secret, and a variable such as ``WIDGET_KEY`` whose value looks random."""
    if names_a_secret(name):
        return True
    return _names_a_key(name) and _judge.is_distinct(value) and _judge.is_random_key(value)


def _names_a_key(name: str) -> bool:
    if "_KEY" not in name or not _VARIABLE.match(name):
        return False
    words = _words_before(name)
    if len(words) < 2 or words[-1] != "key" or words[-2] in HARMLESS_KEYS:
        return False
    return not any(word in ("public", "pub", "publishable") for word in words[:-2])


def _is_passing(words: tuple[str, ...]) -> bool:
    """``next_page_token``, ``csrfToken``."""
    if not words or words[-1] != "token":
        return False
    before = words[:-1]
    if before and before[-1] in _PASSING:
        return True
    return before[-1:] == ("page",) and (len(before) < 2 or before[-2] in _PASSING)


def _comes_after(word: str) -> bool:
    return word in _AFTER or word.isdigit()


def _words_before(name: str) -> tuple[str, ...]:
    """The words of a name, without last words that do not change its meaning."""
    words = [
        word.lower() for part in _PARTS.findall(name) for word in _CAPITAL.split(part)
    ]
    _part_number(words)
    while words and _comes_after(words[-1]):
        words.pop()
    return tuple(words)


def _part_number(words: list[str]) -> None:
    """Separates a number from a last word that means a secret: ``API_KEY2``; not ``OAUTH2``."""
    for at in range(len(words) - 1, -1, -1):
        word = words[at]
        if _comes_after(word):
            continue
        bare = word.rstrip("0123456789")
        if len(bare) < len(word) and (bare in _LAST_WORDS or bare in _AFTER or bare.endswith(JOINED)):
            words[at : at + 1] = [bare, word[len(bare) :]]
        return
