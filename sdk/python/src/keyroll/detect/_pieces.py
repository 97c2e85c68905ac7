"""The pieces of a stream: texts or bytes, from a source that may be asynchronous."""
from __future__ import annotations

from typing import Any, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

from ._known import Known
from ._output import Checker
from ._stream import Redactor

OnLeak = Callable[[list[dict[str, Any]]], object]


class Pieces:
    """Redacts pieces of one type, which the first one decides."""

    def __init__(self, known: Known) -> None:
        self._redactor = Redactor(known)
        self._text: bool | None = None

    @property
    def found(self) -> list[tuple[str, str]]:
        return self._redactor.found

    def push(self, piece: str | bytes | bytearray) -> str | bytes:
        """Takes a piece. Raises TypeError for another type than before, before anything is changed."""
        text = isinstance(piece, str)
        if not text and not isinstance(piece, (bytes, bytearray)):
            raise TypeError(f"a piece is text or bytes, not {type(piece).__name__}")
        if self._text is not None and self._text is not text:
            raise TypeError("text and bytes cannot be mixed in one stream")
        self._text = text
        data = piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else bytes(piece)
        return self._as_given(self._redactor.push(data))

    def finish(self) -> str | bytes:
        """The rest."""
        return self._as_given(self._redactor.finish())

    def _as_given(self, data: bytes) -> str | bytes:
        return data if self._text is False else data.decode("utf-8", "surrogatepass")


class Mixed:
    """Pieces among which may be structures, such as events: those are checked one by one, after the text before."""

    def __init__(self, known: Known, on_leak: OnLeak | None = None) -> None:
        self._known, self._on_leak = known, on_leak
        self._pieces = Pieces(known)
        self._told = 0

    def push(self, piece: Any) -> Iterator[Any]:
        if isinstance(piece, (str, bytes, bytearray)):
            text = self._pieces.push(piece)
            self._tell()
            if text:
                yield text
            return
        yield from self.finish()
        yield checked(piece, self._known, self._on_leak)

    def finish(self) -> Iterator[Any]:
        text = self._pieces.finish()
        self._tell()
        if text:
            yield text

    def _tell(self) -> None:
        new = self._pieces.found[self._told :]
        self._told += len(new)
        tell(self._on_leak, ({"type": title, "redacted": "****"} for _, title in new))


def checked(output: Any, known: Known, on_leak: OnLeak | None) -> Any:
    """A whole output, redacted."""
    checker = Checker(known)
    cleaned = checker.clean(output)
    tell(on_leak, (one._asdict() for one in checker.hits))
    return cleaned


def tell(on_leak: OnLeak | None, findings: Iterable[dict[str, Any]]) -> None:
    """Calls the program, if there are findings. Its errors must not stop the answer."""
    told = [] if on_leak is None else list(findings)
    if not told or on_leak is None:
        return
    try:
        on_leak(told)
    except Exception as error:
        import logging

        logging.getLogger("keyroll").warning("on_leak failed: %s", type(error).__name__)


def redacted(pieces: Iterable[Any], known: Known, on_leak: OnLeak | None = None) -> Iterator[Any]:
    """What ``redact_stream`` gives for an iterable."""
    mixed = Mixed(known, on_leak)
    try:
        for piece in pieces:
            yield from mixed.push(piece)
    except Exception:
        yield from mixed.finish()
        raise
    yield from mixed.finish()


async def redacted_async(pieces: AsyncIterable[Any], known: Known, on_leak: OnLeak | None = None) -> AsyncIterator[Any]:
    """The same for an asynchronous iterable."""
    mixed = Mixed(known, on_leak)
    try:
        async for piece in pieces:
            for one in mixed.push(piece):
                yield one
    except Exception:
        for one in mixed.finish():
            yield one
        raise
    for one in mixed.finish():
        yield one
