"""The forms in which programs write a value: each is searched for as it is, so there must not be too many."""
from __future__ import annotations

import base64
import itertools
import json
import re
from typing import Iterator
from urllib.parse import quote, quote_plus

# Signs that JSON within HTML has as numbers; some programs write quotes so too.
_JSON_IN_HTML = tuple({ord(sign): f"\\u{ord(sign):04x}" for sign in signs} for signs in ("&<>", "&<>'"))
# What encodeURIComponent and encodeURI of JavaScript leave as it is, beside letters, digits and `-._~`.
_COMPONENT, _ADDRESS = "!'()*", ";/?:@&=+$,#!'()*"
# How each of these is written in HTML and XML.
_IN_HTML = {
    "&": ("&amp;",),
    "<": ("&lt;",),
    ">": ("&gt;", ">"),
    '"': ("&quot;", "&#34;", '"'),
    "'": ("&#x27;", "&#39;", "&apos;", "'"),
}


def forms_of(value: str) -> set[bytes]:
    """A value as it is, in JSON, percent-encoded, in HTML, as Python's ``repr``, and in base64 of both alphabets at
    each of its three offsets."""
    raw = value.encode("utf-8", "surrogatepass")
    found = {raw, *_percent(raw), *_base64(raw)}
    for texts in (_json(value), _html(value), _repr(value, raw)):
        found.update(text.encode("utf-8", "surrogatepass") for text in texts)
    return found


def _json(value: str) -> Iterator[str]:
    for plain in (True, False):
        text = json.dumps(value, ensure_ascii=plain)[1:-1]
        yield text
        yield text.replace("/", "\\/")
        for signs in _JSON_IN_HTML:
            yield text.translate(signs)


def _percent(raw: bytes) -> Iterator[bytes]:
    texts = [quote(raw, safe=safe) for safe in ("", "/", _COMPONENT, _ADDRESS)]
    # Forms of browsers keep the asterisk and not the tilde.
    texts += [quote_plus(raw), quote_plus(raw, safe="*").replace("~", "%7E")]
    for text in set(texts):
        yield text.encode()
        yield re.sub("%[0-9A-F]{2}", lambda pair: pair[0].lower(), text).encode()


def _html(value: str) -> Iterator[str]:
    signs = [sign for sign in _IN_HTML if sign in value]
    # A program writes a sign in the same way each time.
    for ways in itertools.product(*(_IN_HTML[sign] for sign in signs)):
        yield value.translate({ord(sign): way for sign, way in zip(signs, ways)})


def _repr(value: str, raw: bytes) -> Iterator[str]:
    """Of the text and of its bytes. Whether single quotes have a backslash depends on the text around it."""
    for quoted in ("'", "\\'"):
        for text_of in (repr, ascii):
            yield "".join(quoted if letter == "'" else text_of(letter)[1:-1] for letter in value)
        yield "".join(quoted if byte == ord("'") else repr(bytes((byte,)))[2:-1] for byte in raw)


def _base64(raw: bytes) -> Iterator[bytes]:
    for offset in range(3):
        # The digits that depend on this value alone, whatever stands before or behind it.
        digits = base64.b64encode(bytes(offset) + raw)
        digits = digits[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6]
        yield digits
        yield digits.replace(b"+", b"-").replace(b"/", b"_")
