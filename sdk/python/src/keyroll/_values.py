"""What a value may be, before anything is changed: text, whole, not a page of errors, not a placeholder."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import NoReturn

from .errors import RefusedValue

VALUE_BYTES_MAX = 64 * 1024
"""The largest value. Keys, tokens and key files are far smaller; what is larger is another thing."""


class Unpicklable:
    """Holds a secret: pickling it, which would write the secret down, is a TypeError."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__.lstrip('_')} cannot be pickled: it holds a secret")


class Versioned(Unpicklable):
    """A value with what its source knows about it. Immutable; ``repr`` hides the value.

    ``version`` is the source's own name for it. ``order`` grows with each version of the source, if the source has
    such a number: an answer with a lower one is older and is refused. ``compromised`` says that the version before
    this one is in the wrong hands and must never be used again.
    """

    __slots__ = ("value", "version", "order", "compromised")

    value: str
    version: str | None
    order: int | None
    compromised: bool

    def __init__(
        self, value: str, version: str | None = None, order: int | None = None, *, compromised: bool = False
    ) -> None:
        if version is not None and not isinstance(version, str):
            raise TypeError("version is a text or None")
        if order is not None and (not isinstance(order, int) or isinstance(order, bool)):
            raise TypeError("order is a whole number or None")
        for name, part in (
            ("value", value), ("version", version), ("order", order), ("compromised", bool(compromised)),
        ):
            object.__setattr__(self, name, part)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Versioned cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Versioned cannot be changed")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Versioned):
            return NotImplemented
        rest = (self.version, self.order, self.compromised) == (other.version, other.order, other.compromised)
        return same(self.value, other.value) and rest

    def __hash__(self) -> int:
        return hash((self.value, self.version, self.order, self.compromised))

    def __repr__(self) -> str:
        return f"<Versioned version={self.version} order={self.order}>"


def same(one: object, other: object) -> bool:
    """Whether two texts are equal, in a time that does not depend on where they differ."""
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    # Lone surrogates are no UTF-8, but comparing them must not fail.
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


# Tabs and line ends belong to key files and JSON documents. The others never stand in a credential.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_PAGE = re.compile(
    r"\s*<(?:!doctype\s+html|(?:html|head|body|title|meta|script|style|center|h[1-6]|div|pre|table)(?=[\s/>]))",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"\s*<(?:\?xml|!--)", re.IGNORECASE)
_INNER_PAGE = re.compile(r"<html[\s>]|<!doctype\s+html|<error[\s>]", re.IGNORECASE)

# Whole values, in lower case and without the marks between words.
_PLACEHOLDER_WHOLE = frozenset(
    """changeme changethis changeit placeholder redacted replaceme replacethis fixme todo tbd notset unset
    null none nil undefined insertkeyhere insertapikeyhere enterkeyhere addkeyhere putkeyhere""".split()
)
_PLACEHOLDER_FORM = re.compile(
    r"<[^<>]*>"  # <your key>
    r"|\$\{[^{}]*\}|\{\{[^{}]*\}\}|\$\([^()]*\)"  # ${KEY}, {{ key }}, $(key)
    r"|\$[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|%[A-Z][A-Z0-9_]+%"  # $API_KEY, %API_KEY%
    r"|([xX*.•#?_-])\1{2,}"  # xxxx, ****
    r"|[A-Za-z0-9_-]*(?:\.\.\.|…|\*{4,}|•{3,})"  # sk-ant-…, a shortened display
)
# Parts: only in a value that is one word, because a document or an address may hold these words by right. Words that
# people do choose as passwords ("secret", "my-key") are none.
_PLACEHOLDER_PART = re.compile(
    r"x{8}|(?:^|[-_.+])(?:please[-_]?)?(?:change|replace)[-_]?me(?=$|[-_.+0-9])"
    r"|(?:^|[-_])(?:your|insert|enter)[-_](?:[a-z]+[-_])*(?:key|token|secret|password|value|here)s?(?=$|[-_])"
    r"|your(?:api|secret|access)?(?:key|token|secret|password)(?:here|$)"
)
_ONE_WORD_MAX = 128
_WORD = re.compile(r"[A-Za-z0-9_.+-]+")


def _is_placeholder(value: str) -> bool:
    text = value.strip()
    if len(text) > 4 * _ONE_WORD_MAX:
        return False
    small = text.lower()
    if re.sub(r"[-_. ]", "", small) in _PLACEHOLDER_WHOLE or _PLACEHOLDER_FORM.fullmatch(text):
        return True
    word = len(text) <= _ONE_WORD_MAX and _WORD.fullmatch(text)
    return bool(word) and _PLACEHOLDER_PART.search(small) is not None


def _is_page(value: str) -> bool:
    start = value[:4096]
    return bool(_PAGE.match(start)) or bool(_MARKUP.match(start) and _INNER_PAGE.search(start))


def why_refused(value: object, *, allow_placeholders: bool = False) -> str | None:
    """None if ``value`` can be used, else the reason in words, such as "is empty". It never holds the value.

    Refused are: what is no text, empty or white space, longer than 64 KiB as UTF-8, with a control character other
    than tab and line ends, a page of HTML, and placeholders (unless ``allow_placeholders``).
    """
    if not isinstance(value, str):
        return "is not text"
    if not value.strip():
        return "is empty"
    if len(value) > VALUE_BYTES_MAX:
        return "is longer than 64 KiB"
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not text"
    if size > VALUE_BYTES_MAX:
        return "is longer than 64 KiB"
    if "\x00" in value:
        return "has a NUL"
    if _CONTROL.search(value):
        return "has a control character"
    if _is_page(value):
        return "is an HTML page"
    if not allow_placeholders and _is_placeholder(value):
        return "is a placeholder"
    return None


def clean(raw: str | bytes) -> str:
    """The text of what a file or a service gave: UTF-8, without a byte order mark and without one line end behind it.

    Nothing else is removed: blanks may belong to a value. Raises RefusedValue for bytes that are no UTF-8.
    """
    if isinstance(raw, (bytes, bytearray, memoryview)):
        try:
            text: str | None = bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            text = None
        if text is None:
            # Outside of the handler: the decoder's error holds the bytes.
            raise RefusedValue("the value is not UTF-8 text")
    elif isinstance(raw, str):
        text = raw
    else:
        raise RefusedValue("the value is neither text nor bytes")
    if text.startswith("\ufeff"):
        text = text[1:]
    if text.endswith("\n"):
        text = text[:-1]
        if text.endswith("\r"):
            text = text[:-1]
    return text


# A plain hash of a short value could be found by trying; with a key that never leaves the process it cannot.
_FINGERPRINT_KEY = secrets.token_bytes(32)


def digest(value: str) -> bytes:
    """32 bytes that stand for a value. They are the same only within one process and its forks."""
    return hmac.new(_FINGERPRINT_KEY, value.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def fingerprint(value: str) -> str:
    """Eight hex digits of the digest, to show. Two values may have the same by chance: decide nothing by them."""
    return digest(value).hex()[:8]
