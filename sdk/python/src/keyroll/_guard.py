"""Keeps secrets out of logs and of what agents give back.

Found are credentials by form, name and position (see :mod:`keyroll.detect`) and known values, also in base64,
percent-encoding, JSON, HTML and Python's ``repr``. Not found is what is encoded otherwise, compressed or encrypted.
"""
from __future__ import annotations

import logging
import threading
import traceback
from typing import Any, AsyncIterable, AsyncIterator, Iterable, Iterator, NoReturn, overload

from .detect import _scan
from .detect._asgi import AgentOutputMiddleware
from .detect._decorator import agent_output_middleware
from .detect._known import KNOWN_BYTES_MIN, Known
from .detect._output import Checker
from .detect._pieces import Pieces, redacted, redacted_async
from .detect._stream import merged

__all__ = [
    "AgentOutputMiddleware",
    "RedactingFilter",
    "RedactingStream",
    "agent_output_middleware",
    "check_agent_output_for_leaks",
    "redact_stream",
    "safe_log",
]

UNCHECKED = "[keyroll: a log message that could not be checked for secrets]"

# What every record has; the rest are extra fields.
_USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

# Numbers are no secrets: the arguments of many records need no look.
_PLAIN = frozenset((int, float, bool, type(None)))


def _redacted(text: str, known: Known) -> str:
    # Every form, name's value and known value has at least so many bytes.
    if 4 * len(text) < KNOWN_BYTES_MIN:
        return text
    data = _scan.to_bytes(text)
    found = merged(_scan.find(data), known.find(data))
    if not found:
        return text
    return _scan.marked(data, found).decode("utf-8", "surrogatepass")


def safe_log(
    message: object,
    *args: object,
    level: int = logging.INFO,
    logger: logging.Logger | None = None,
    known: Iterable[object] = (),
) -> None:
    """Formats ``message % args``, redacts it and logs it, by default at INFO to the root logger.

    ``known`` are values, and secrets with ``get()``, to be redacted too. Never raises for a message: one that does not
    fit its arguments is logged with them, redacted; one that cannot be made a text is replaced by a notice. Raises
    ValueError or TypeError for an unusable ``known``.
    """
    values = Known(known)
    logger = logging.getLogger() if logger is None else logger
    if not logger.isEnabledFor(level):
        return
    try:
        text = _redacted(_formatted(message, args), values)
    except Exception:  # A text method of an argument may raise anything.
        text = UNCHECKED
    logger.log(level, "%s", text, stacklevel=2)


def _formatted(message: object, args: Any) -> str:
    text = str(message)
    if not args:
        return text
    # As `logging` does: a single mapping gives the names.
    single = args[0] if isinstance(args, tuple) and len(args) == 1 and isinstance(args[0], dict) and args[0] else args
    try:
        return text % single
    except (TypeError, ValueError, KeyError):
        return f"{text} {args!r}"


class RedactingFilter(logging.Filter):
    """Redacts records: message, arguments, traceback, stack and extra fields. Add it to handlers.

    A filter of a logger does not see the records of its children; a filter of a handler sees all that reach it. The
    record itself is changed, so other handlers show it redacted too. A record without a finding is left as it is; of
    one whose traceback has a finding only the redacted text of it is kept. ``known`` are values of 8 bytes or more,
    and secrets with ``get()``. An object among the arguments and fields is checked as its ``str`` and its ``repr``.
    Never raises into the program: a record or an object that cannot be checked is replaced by a notice.
    """

    def __init__(self, name: str = "", *, known: Iterable[object] = ()) -> None:
        super().__init__(name)
        self._known = Known(known)

    def __repr__(self) -> str:
        return f"<RedactingFilter {self._known!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RedactingFilter cannot be pickled: it holds secrets")

    def filter(self, record: logging.LogRecord) -> bool:
        if not super().filter(record):
            return False
        try:
            self._clean(record)
        except Exception:  # Whatever it is: the program goes on, and nothing unchecked is written.
            record.msg, record.args = UNCHECKED, None
            record.exc_info = record.exc_text = record.stack_info = None
            for field in set(record.__dict__) - _USUAL:
                record.__dict__[field] = UNCHECKED
        return True

    def _clean(self, record: logging.LogRecord) -> None:
        text = _formatted(record.msg, record.args)
        cleaned = _redacted(text, self._known)
        arguments = self._checked(record.args)[1] if record.args else False
        if cleaned != text or arguments:
            record.msg, record.args = cleaned, None
        if record.exc_info and not record.exc_text and isinstance(record.exc_info, tuple):
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            safe = _redacted(trace, self._known)
            if safe != trace:
                record.exc_text, record.exc_info = safe, None
        elif record.exc_text:
            safe = _redacted(record.exc_text, self._known)
            if safe != record.exc_text:
                record.exc_text, record.exc_info = safe, None
        if record.stack_info:
            record.stack_info = _redacted(record.stack_info, self._known)
        for field in set(record.__dict__) - _USUAL:
            value, changed = self._checked(record.__dict__[field], field)
            if changed:
                record.__dict__[field] = value

    def _checked(self, value: object, name: str = "") -> tuple[object, bool]:
        """A value redacted, and whether that changed it. Objects in it are checked as the texts that they become."""
        if value is None or isinstance(value, (bool, int, float)):
            return value, False
        if isinstance(value, tuple) and _PLAIN.issuperset(map(type, value)):
            return value, False
        # Formatters write either.
        checker = Checker(self._known, (str, repr))
        cleaned = checker.clean(value, name=name)
        return cleaned, bool(checker.hits)


def check_agent_output_for_leaks(output: Any, *, known: Iterable[object] = ()) -> dict[str, Any]:
    """Looks for secrets in what an agent gives back: text, bytes, or dicts, lists, tuples and sets of them.

    Returns ``{"leaked": bool, "findings": [...], "redacted": ...}``. ``redacted`` has the structure of the output, with
    ``[redacted:…]`` for each secret, also in keys; a set is a list in it, a frozenset a tuple, and a container within
    itself ``"[repeated]"``. A finding is ``{"type", "redacted", "position", "path"}`` as from ``scan_for_secrets``;
    ``path`` is like ``$.messages[0].content``, the first one for data that is at several places. Numbers, dates, UUIDs
    and members of enumerations are no secrets. A secret that is split over several texts is not found. What is nested
    deeper than 100 levels is withheld and counts as leaked. Raises TypeError for other types.

    Takes time proportional to the output, in the thread of the caller: as a guide, a few tenths of a second
    at most for 1 MB of prose, and a few seconds for 1 MB in which each line assigns a password.
    """
    checker = Checker(Known(known))
    cleaned = checker.clean(output)
    findings = [one._asdict() for one in checker.hits]
    return {"leaked": bool(findings), "findings": findings, "redacted": cleaned}


class RedactingStream:
    """Redacts text on its way to ``write``, a function or an object with ``write``: the same, however it is cut.

    Found are credentials by form, passwords of addresses, tokens after ``Bearer`` and the like, and known values; not
    values that only a name reveals, which would need the whole line. Held back is the last word, as long as it may be
    half a secret: 12 KiB at most (if it never ends), 24 KiB for private keys, and known values with spaces. ``flush``
    passes on what is decided; ``flush(final=True)`` and ``close`` release the rest. For text, as the pieces of a
    model's answer: not for events or JSON around such pieces, between which a secret would be split. Use it as a
    context manager, or call ``close``: without it the last word is lost.
    """

    def __init__(self, write: Any, *, known: Iterable[object] = ()) -> None:
        self._target = write if callable(write) else None
        self._file = None if callable(write) else write
        if self._target is None and not callable(getattr(write, "write", None)):
            raise TypeError("write is a function or an object with the method write")
        self._pieces = Pieces(Known(known))
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<RedactingStream closed={self._closed}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RedactingStream cannot be pickled: it may hold a secret")

    def __enter__(self) -> RedactingStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def found(self) -> list[tuple[str, str]]:
        """Rule and title of each finding so far."""
        return list(self._pieces.found)

    def write(self, piece: str | bytes) -> int:
        """Takes a piece, always of the same type, and passes on what is decided. Raises ValueError after ``close``."""
        with self._lock:
            if self._closed:
                raise ValueError("the stream is closed")
            self._give(self._pieces.push(piece))
        return len(piece)

    def flush(self, final: bool = False) -> None:
        """Flushes what is decided. With ``final`` also the last word: only where nothing follows it."""
        with self._lock:
            if final:
                self._give(self._pieces.finish())
            flush = getattr(self._file, "flush", None)
        if callable(flush):
            flush()

    def close(self) -> None:
        """Releases the rest. Does not close what is written to. May be called again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._give(self._pieces.finish())

    def _give(self, text: str | bytes) -> None:
        if text:
            (self._target or self._file.write)(text)  # type: ignore[union-attr]


@overload
def redact_stream(pieces: AsyncIterable[Any], *, known: Iterable[object] = ...) -> AsyncIterator[Any]: ...
@overload
def redact_stream(pieces: Iterable[Any], *, known: Iterable[object] = ...) -> Iterator[Any]: ...
def redact_stream(pieces: Any, *, known: Iterable[object] = ()) -> Any:
    """The pieces of a text, redacted as by :class:`RedactingStream`; of an asynchronous iterable an asynchronous one.

    Pieces are texts or bytes, cut anywhere. If the source raises, the rest is given before its error.
    """
    values = Known(known)
    return redacted_async(pieces, values) if hasattr(pieces, "__aiter__") else redacted(pieces, values)
