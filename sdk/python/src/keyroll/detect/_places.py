"""Values that only a name or a position reveals: ``password = "…"``, ``Bearer …``, ``scheme://user:…@host``."""
from __future__ import annotations

import re
from typing import Iterator, NamedTuple

from . import _names
from ._words import BEFORE, STATEMENTS

VALUE_BYTES_MAX = 512
"""The longest password or token without a known form."""
LINE_BYTES_MAX = 16 * 1024
"""The longest line that is searched as one."""

_NAME_BYTES_MAX = 128
_HEADER_BYTES_MAX = 64

_BEFORE = re.compile("|".join(map(re.escape, BEFORE)).encode(), re.IGNORECASE)
_STATEMENTS = tuple(word.encode() for word in STATEMENTS)
_AUTHORITY = re.compile(rb"://([^/?#\"'<>`\s\x00]*)")
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=-]+")
_PART = re.compile(rb"[^;\"'\n\r\x00]+")
_BRACED = re.compile(rb"\{([^}\n]{0,511})[}\n]")
_BRACED_MARK = re.compile(rb"[!#%&*+,\-/:;<=>?@\\^`|~]")
_ALNUM = re.compile(rb"[A-Za-z0-9]")
_QUOTE = re.compile(rb"[\"'`]")
_PAIR_QUOTE = re.compile(rb"[\"']")
_LAST_WORD = re.compile(rb"[A-Za-z0-9_.-]+\Z")
_IS_NAME = re.compile(rb"[A-Za-z0-9_.-]+\Z")
_TYPE = re.compile(rb"[A-Za-z0-9 &'_<>\[\]?]{0,127}\Z")
_QUERY = re.compile(rb"[?&]([A-Za-z0-9_.-]+)=([^\s\"'`&#;<>\\]*)")
_SET_WORDS = (b"env", b"setenv", b"set", b"fastcgi_param")
_GRAPHIC = re.compile(rb"[!-~]+\Z")


class Named(NamedTuple):
    """A value in a line, and what stands before it. ``name`` is None for a position."""

    name: str | None
    start: int
    end: int


def in_line(line: bytes) -> Iterator[Named]:
    """What may be a secret in a line, the surest first; ranges may overlap."""
    yield from passwords_in(line)
    yield from tokens_in(line)
    for search in (_in_quotes, _in_elements, _in_queries, _behind_a_word, _settings_in, _pairs_in, _assignment):
        yield from search(line)


def passwords_in(line: bytes) -> Iterator[Named]:
    """The passwords in addresses: ``postgres://user:HERE@host/db``."""
    for found in _AUTHORITY.finditer(line):
        login = found[1]
        sign = login.rfind(b"@")
        colon = login.find(b":", 0, max(sign, 0))
        if colon >= 0 and colon + 1 < sign:
            yield Named(None, found.start(1) + colon + 1, found.start(1) + sign)


def tokens_in(line: bytes) -> Iterator[Named]:
    """The tokens after a scheme, ``Authorization: Bearer HERE``, and the passwords in connection strings."""
    for word in _BEFORE.finditer(line):
        part = word[0].endswith(b"=")
        if part:
            if line[word.start() - 1 : word.start()] != b";":
                continue
            # In ODBC a value with punctuation is in braces. A name in braces is a variable.
            braced = _BRACED.match(line, word.end())
            if braced is not None and _BRACED_MARK.search(braced[1]):
                yield Named(None, braced.start(1), braced.end(1))
                continue
        elif not _begins_a_header(line, word.start()):
            continue
        value = (_PART if part else _TOKEN).match(line, word.end())
        # `Basic decoding` begins a sentence.
        if value is not None and (part or re.search(rb"[^a-z]", value[0])):
            yield Named(None, value.start(), value.end())


def _begins_a_header(line: bytes, at: int) -> bool:
    """Whether a scheme is the value of a header, or stands alone."""
    if at and line[at - 1] not in b":\"'= ":
        return False
    near = line[max(0, at - _HEADER_BYTES_MAX) : at]
    return b"authorization" in near.lower() or not _ALNUM.search(near)


def _in_quotes(line: bytes) -> Iterator[Named]:
    """Quoted values with the names before them: ``const TOKEN: &str = "value"``, ``{ password: 'value' }``."""
    named: str | None = None
    quote = _QUOTE.search(line)
    while quote is not None:
        start = quote.end()
        end = line.find(quote[0], start)
        if line[quote.start() - 1 : quote.start()] == b"\\":
            escape = line.find(b"\\", start)
            end = escape if end < 0 or 0 <= escape < end else end
        next_from = start
        if end >= 0:
            before = line[max(0, quote.start() - 2 * _NAME_BYTES_MAX) : quote.start()]
            # The first two of three quotes are empty.
            for more in (b"\\", b'""'):
                before = before[: -len(more)] if before.endswith(more) else before
            name = _name_of(before)
            if name is not None:
                next_from = end + 1
                if name in ("name", "key"):
                    word = _last_word(line[start:end])
                    named = word if word is not None and len(word) == end - start else None
                elif name == "value":
                    name, named = named or name, None
                yield Named(None if name == "\0" else name, start, end)
            else:
                yield from _in_header(line, start, end)
        quote = _QUOTE.search(line, next_from)


def _in_header(line: bytes, start: int, end: int) -> Iterator[Named]:
    """``X-Api-Key: value`` as one argument."""
    sign = line.find(b": ", start, end)
    if sign < 0:
        return
    name = _last_word(line[start:sign])
    value = line[sign + 2 : end].lstrip()
    if name is not None and len(name) == sign - start and _names.names_a_secret(name) and _GRAPHIC.match(value):
        yield Named(None, end - len(value), end)


def _name_of(before: bytes) -> str | None:
    """The name before the sign at the end of a text, without a type between them; NUL for SQL's words."""
    small = before[-64:].lower()
    for words in _STATEMENTS:
        if small.endswith(words):
            rest = small[: -len(words)]
            if not rest or rest[-1:].isspace():
                return "\0"
    before = before.rstrip()
    sign = next((sign for sign in (b":=", b"=>", b"=", b":") if before.endswith(sign)), None)
    if sign is None:
        return _of_a_call(before)
    # `?=` in make, `||=` in Ruby, `.=` in PHP.
    before = before[: -len(sign)].rstrip(b":?|.+").rstrip()
    # `var token string =` in Go.
    before = (before[:-7] if before.endswith(b" string") else before).rstrip()
    # `TOKEN: &str`: the text after the colon is a type, unless it is the name.
    colon = before.rfind(b":")
    if sign == b"=" and colon >= 0 and _TYPE.match(before, colon + 1):
        before = before[:colon]
    name = _last_word(before)
    return None if name == "SetCredential" else name


def _of_a_call(before: bytes) -> str | None:
    """``define( 'NAME',``."""
    if not before.endswith(b","):
        return None
    called = before[:-1].rstrip()
    name = _last_word(called)
    if name is None or called[-1:] not in (b'"', b"'", b"`"):
        return None
    head, quote = called[:-1], called[-1:]
    inner = name.encode() if head.endswith(name.encode()) else None
    if inner is None or not head[: -len(inner)].endswith(quote):
        return None
    return name if head[: -len(inner) - 1].rstrip().endswith(b"(") else None


def _last_word(text: bytes) -> str | None:
    text = text.rstrip()
    # `config['name']`.
    text = text[:-1] if text.endswith(b"]") else text
    quote = text[-1:] if text[-1:] in (b'"', b"'", b"`") else b""
    for end in (b'\\"', b'"', b"'"):
        text = text[: -len(end)] if text.endswith(end) else text
    found = _LAST_WORD.search(text, max(0, len(text) - _NAME_BYTES_MAX - 1))
    if found is None or len(found[0]) > _NAME_BYTES_MAX:
        return None
    # Quotes contain the whole name: `AWS::IAM::AccessKey` is not one.
    if quote and text[found.start() - 1 : found.start()] != quote:
        return None
    return found[0].decode()


def _in_elements(line: bytes) -> Iterator[Named]:
    """``<name>value</name>``, ``<string name="name">value</string>``."""
    end = line.find(b"</")
    while end >= 0:
        start = line.rfind(b">", max(0, end - VALUE_BYTES_MAX - 1), end)
        # An attribute list is short too.
        tag_start = line.rfind(b"<", max(0, start - LINE_BYTES_MAX), max(start, 0))
        if start >= 0 and tag_start >= 0:
            tag = line[tag_start + 1 : start]
            name = None
            for mark in (b"name=", b"key="):
                at = tag.find(mark)
                if at >= 0:
                    name = _last_word(tag[at + len(mark) :].split(b" ", 1)[0])
                    break
            if name is None:
                name = _last_word(tag.split(b" ", 1)[0])
            if name is not None:
                yield Named(name, start + 1, end)
        end = line.find(b"</", end + 2)


def _in_queries(line: bytes) -> Iterator[Named]:
    """``?api_key=value&password=value``."""
    for found in _QUERY.finditer(line):
        if len(found[1]) <= _NAME_BYTES_MAX:
            yield Named(found[1].decode(), found.start(2), found.end(2))


def _behind_a_word(line: bytes) -> Iterator[Named]:
    """A name and its value with spaces between: in Redis, ``.netrc``, Gradle, C's ``#define``."""
    words = [(word.start(), word.end()) for word in re.finditer(rb"[^\s\x00]+", line)]
    texts = [line[start:end] for start, end in words[:1] + words[-2:]] if len(words) > 1 else []
    if not texts or not (
        texts[0] == b"machine" and len(words) > 2
        or texts[0] == b"#define" and len(words) == 3
        or texts[0] != b"#define" and len(words) == 2
    ):
        return
    name, raw = texts[-2], texts[-1]
    start, end = words[-1]
    # In Pulumi: `app:apiToken: value`.
    name = name[:-1].rpartition(b":")[2] if name.endswith(b":") else name
    if len(raw) > 2 and raw[:1] == raw[-1:] and raw[:1] in (b'"', b"'"):
        start, end = start + 1, end - 1
    elif raw.endswith(b";"):
        end -= 1
    if _IS_NAME.match(name) and len(name) <= _NAME_BYTES_MAX:
        yield Named(name.decode(), start, end)


def _settings_in(line: bytes) -> Iterator[Named]:
    """The settings in the words of a line: ``docker run -e NAME=value``, ``--api-key value``, ``ENV NAME value``."""
    sets = line.strip().split(b" ", 1)[0].lower() in _SET_WORDS
    if b"=" not in line and b"--" not in line and not sets:
        return
    words = _words(line)
    for index, (start, end) in enumerate(words):
        raw = line[start:end]
        sign = raw.find(b"=")
        following = words[index + 1] if index + 1 < len(words) else None
        if sign >= 0:
            yield from _of_setting(line, start, start + sign, end)
        elif raw.startswith(b"--") and following is not None and _IS_NAME.match(raw, 2):
            if line[following[0] : following[0] + 1] != b"-":
                yield Named(raw[2:].decode(), *following)
        elif index == 0 and sets:
            given = list(words[1:])
            while given and line[given[0][0] : given[0][0] + 1] == b"-":
                given.pop(0)
            if len(given) > 1 and _IS_NAME.match(line[given[0][0] : given[0][1]]):
                yield Named(line[given[0][0] : given[0][1]].decode(), *given[1])


def _of_setting(line: bytes, start: int, sign: int, end: int) -> Iterator[Named]:
    name = line[start:sign]
    inner = _unquoted(line, sign + 1, end)
    # In a systemd unit the word is a list of such words: the innermost name counts.
    nested = {b"Environment": b"=", b"--from-literal": b"=", b"SetCredential": b":"}.get(name)
    at = line.find(nested, *inner) if nested else -1
    if at >= 0:
        name, inner = line[inner[0] : at], (at + 1, inner[1])
    name = name.lstrip(b"-")
    if _IS_NAME.match(name):
        yield Named(name.decode(), *inner)


def _words(line: bytes) -> list[tuple[int, int]]:
    """The words of a line as a shell splits them, without quotes, also of a list."""
    found: list[tuple[int, int]] = []
    start, quote, closed = -1, 0, False
    for at, byte in enumerate(line + b"\n"):
        # In a list of quoted words the comma is no word.
        listed, closed = closed and byte == 0x2C, False
        if quote and byte == quote:
            quote, closed = 0, True
        elif not quote and listed:
            if start >= 0:
                found.append(_unquoted(line, start, at))
                start = -1
        elif byte == 0x0A or not quote and byte in b" \t\r\x00":
            if start >= 0:
                found.append(_unquoted(line, start, at))
                start = -1
            quote = 0
        elif not quote:
            start = at if start < 0 else start
            quote = byte if byte in b"\"'" else 0
    return found


def _unquoted(line: bytes, start: int, end: int) -> tuple[int, int]:
    """Without surrounding quotes, and without a comma and the like after them."""
    text = line[start:end]
    plain = text.rstrip(b",;\\")
    # A bracket belongs to the word, unless it follows a quote.
    for inner in (plain, text.rstrip(b",;\\)]}")):
        if len(inner) > 1 and inner[:1] == inner[-1:] and inner[:1] in (b'"', b"'"):
            return start + 1, start + len(inner) - 1
    return start, start + len(plain)


def _pairs_in(line: bytes) -> Iterator[Named]:
    """Quoted names with quoted values, anywhere in a line."""
    last: tuple[int, int] | None = None
    found = _PAIR_QUOTE.search(line)
    while found is not None:
        start = found.end()
        end = line.find(found[0], start)
        if end < 0:
            return
        if last is not None:
            between = line[last[1] + 1 : found.start()].strip()
            called = last[0] >= 2 and line[last[0] - 2 : last[0] - 1] == b"("
            name = line[last[0] : last[1]]
            if (between in (b":", b"=>", b"value=") or called and between == b",") and _IS_NAME.match(name):
                yield Named(name.decode(), start, end)
        last = (start, end)
        found = _PAIR_QUOTE.search(line, end + 1)


def _assignment(line: bytes) -> Iterator[Named]:
    """``NAME=value``, ``name: "value"``, ``export NAME='value'``."""
    sign = re.search(b"[=:]", line)
    if sign is None or line.startswith(b"://", sign.start()):
        return
    name = line[: sign.start()].strip()
    for word in (b"- ", b"export "):
        while name.startswith(word):
            name = name[len(word) :]
    name = name.strip().strip(b"\"'")
    if not _IS_NAME.match(name):
        return
    behind = line[sign.end() :]
    rest = behind.lstrip(b" \t\n\r\x0b\x0c\x00")
    start = sign.end() + len(behind) - len(rest)
    rest = rest.rstrip(b" \t\n\r\x0b\x0c\x00,")
    if rest[:1] in (b'"', b"'"):
        length = rest.find(rest[:1], 1) - 1
        start += 1
    else:
        length = rest.find(b" #")
        length = len(rest) if length < 0 else length
    if rest and length >= 0:
        yield Named(name.decode(), start, start + length)
