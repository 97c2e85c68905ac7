"""Whether a value that only a name or a position reveals is likely a secret."""
from __future__ import annotations

import base64
import binascii
import re

from . import _judge, _names
from ._places import LINE_BYTES_MAX, VALUE_BYTES_MAX, Named
from ._words import DOCUMENTED

_HOST_BYTES_MAX = 256
# The shortest decoded password that can be distinguished from a chance match.
_DECODED_BYTES_MIN = 8
_LOGIN_BYTES_MAX = 1024

_GRAPHIC = re.compile(rb"[!-~]+\Z")
_HOST = re.compile(rb"[A-Za-z0-9.-]*")
_DOCUMENTED = tuple(b"." + host.encode() for host in DOCUMENTED)
_CONSTANT = re.compile(r"[A-Z0-9_]*\Z")
_HEX_PAIR = re.compile(rb"%([0-9A-Fa-f]{2})")


def is_likely(text: bytes, one: Named) -> bool:
    """Whether a value without a form is likely a secret, in a text of any kind. Programs use the names of secrets
    for labels, fields and variables far more often than for secrets."""
    value = text[one.start : one.end]
    if len(value) > VALUE_BYTES_MAX or not _GRAPHIC.match(value) or _judge.is_code(value):
        return False
    # People choose words as passwords; programs use words as the names of tokens.
    chosen = one.name is None or _names.names_a_password(one.name)
    words = _judge.is_made_of_words(value) and not (chosen and _judge.is_password(value))
    words = words or not chosen and _judge.is_type(value)
    if not (chosen and _judge.is_phrase(value)) and (words or not _judge.is_distinct(value)):
        return False
    return _is_meant(text, one) if one.name is None else _is_told(text, one, one.name, value)


def _is_told(text: bytes, one: Named, name: str, value: bytes) -> bool:
    uuid = _judge.is_uuid(value)
    if _is_quoted(text, one) and not (uuid and _names.names_a_request(name)):
        return True
    if uuid:
        return False
    return _judge.is_random(value) or not re.search(rb"[()\[\]{},]", value) and _is_set(text, one, name, value)


def _is_quoted(text: bytes, one: Named) -> bool:
    """In quotes, also escaped ones in a string, or as the content of an element."""
    before = text[one.start - 1 : one.start] if one.start else b""
    if before == b">":
        return text.startswith(b"</", one.end)
    if before not in (b'"', b"'", b"`"):
        return False
    return text.startswith(before, one.end + text.startswith(b"\\", one.end))


def _is_set(text: bytes, one: Named, name: str, value: bytes) -> bool:
    """Whether a value is assigned as in a shell: ``DB_PASSWORD=value``, ``--api-key value``; under other names only a
    password, ``password=value``. Programs put a space before the sign, or write an argument."""
    before = text[max(0, one.start - LINE_BYTES_MAX) : one.start]
    if before.endswith((b"'", b'"')):
        before = before[:-1]
    sign, word = before[-1:], name.encode()
    if sign not in (b"=", b" ") or not before[:-1].endswith(word):
        return False
    before = before[: -1 - len(word)]
    if before.endswith(b"--"):
        return True
    begins = not before or before[-1:] in b" \t\n\r\x0c"
    known = _CONSTANT.match(name) is not None or _names.names_a_password(name) and _judge.is_password(value)
    return sign == b"=" and begins and known


def _is_meant(text: bytes, one: Named) -> bool:
    """Whether a login gives access: a base64 login by its password, one before a host if that is a real one."""
    value = text[one.start : one.end]
    if text[max(0, one.start - 6) : one.start].lower() == b"basic ":
        password = _password_of(value)
        return password is not None and _judge.is_distinct(password)
    if not text.startswith(b"@", one.end):
        return True
    return _decoded_bytes(value) >= _DECODED_BYTES_MIN and not _is_documented(text, one.end + 1)


def _password_of(value: bytes) -> bytes | None:
    """The password in base64 of ``user:password``."""
    if not value or len(value) > _LOGIN_BYTES_MAX or not re.match(rb"[A-Za-z0-9+/]+={0,2}\Z", value):
        return None
    bare = value.rstrip(b"=")
    try:
        login = base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
        written = login.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    user, sign, password = login.partition(b":")
    control = any(letter < " " or "\x7f" <= letter <= "\x9f" for letter in written)
    return password if sign and user and not control else None


def _decoded_bytes(value: bytes) -> int:
    """The length of a percent-encoded value, decoded; 0 if it holds other bytes than letters, digits and marks."""
    pairs = _HEX_PAIR.findall(value)
    if any(not 0x21 <= int(pair, 16) <= 0x7E for pair in pairs):
        return 0
    return len(value) - 2 * len(pairs)


def _is_documented(text: bytes, at: int) -> bool:
    """Whether a host is reserved for documentation (RFC 2606)."""
    found = _HOST.match(text, at, at + _HOST_BYTES_MAX)
    host = b"." + (found[0].lower() if found else b"")
    return host.endswith(_DOCUMENTED)
