"""Finds credentials in texts: by the forms that their issuers published, and by the names and positions of secrets.

Not found are values without a form and without a name, and values in an encoding (base64, gzip). The names and
positions are those of one line: tables, documents of Kubernetes, settings of servers and commands with positional
passwords are not read; ``keyroll leaks`` reads them.
"""
from __future__ import annotations

from typing import overload

from ._scan import MARKER, Finding, find_text, marked

__all__ = ["Finding", "find_secrets", "redact_secrets", "scan_for_secrets", "shown"]

# The shortest value of which anything is shown, in characters: then a third of it at most.
_SHOWN_MIN = 24


def find_secrets(text: str | bytes) -> list[Finding]:
    """Every secret in a text, with start, end, rule and title; no value. See :func:`scan_for_secrets`."""
    return find_text(text)


def scan_for_secrets(text: str | bytes) -> list[dict[str, object]]:
    """Every secret in a text, each occurrence once, in order, without overlaps.

    Each is ``{"type": "Anthropic API key", "redacted": "abcd...wxyz", "position": 17}``. ``position`` is where the
    secret itself begins, in characters (of bytes: in bytes). ``redacted`` shows the first and the last four characters
    of values of 24 characters or more, ``****`` for shorter ones and for keys of several lines. Texts that cannot be
    secrets, such as placeholders and the examples of documentation, are not reported. Takes time proportional to the
    text. Raises TypeError for anything but a text or bytes.
    """
    found: list[dict[str, object]] = []
    for one in find_text(text):
        value = text[one.start : one.end]
        letters = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        found.append({"type": one.title, "redacted": shown(letters), "position": one.start})
    return found


@overload
def redact_secrets(text: str) -> str: ...
@overload
def redact_secrets(text: bytes) -> bytes: ...
def redact_secrets(text: str | bytes) -> str | bytes:
    """The text with ``[redacted:<rule>]`` in place of each finding of :func:`scan_for_secrets`.

    A text without findings is returned as it is. Bytes give bytes. Raises TypeError for anything else.
    """
    found = find_text(text)
    if not found:
        return text
    if isinstance(text, bytes):
        return marked(text, found)
    pieces: list[str] = []
    at = 0
    for one in found:
        pieces += [text[at : one.start], MARKER.format(one.rule)]
        at = one.end
    return "".join(pieces) + text[at:]


def shown(value: str) -> str:
    """What may be shown of a value: a third at most, nothing of short ones and of keys of several lines."""
    if len(value) < _SHOWN_MIN or "\n" in value or "-----" in value:
        return "****"
    return f"{value[:4]}...{value[-4:]}"
