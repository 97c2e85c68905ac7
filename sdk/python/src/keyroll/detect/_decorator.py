"""``agent_output_middleware``: a decorator for functions that give an agent's output, or around an ASGI app."""
from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Iterable, TypeVar, overload

from ._asgi import AgentOutputMiddleware
from ._known import Known
from ._pieces import OnLeak, checked, redacted, redacted_async

F = TypeVar("F", bound=Callable[..., Any])


@overload
def agent_output_middleware(target: F, *, known: Iterable[object] = ..., on_leak: OnLeak | None = ...) -> F: ...
@overload
def agent_output_middleware(
    target: None = ..., *, known: Iterable[object] = ..., on_leak: OnLeak | None = ...
) -> Callable[[F], F]: ...
def agent_output_middleware(
    target: Any = None, *, known: Iterable[object] = (), on_leak: OnLeak | None = None
) -> Any:
    """Redacts secrets in what ``target`` gives back.

    If ``target`` is an ASGI app, a callable with exactly the three parameters ``scope``, ``receive`` and ``send``, the
    result is :class:`AgentOutputMiddleware` around it. Any other function is decorated: its output, text, bytes or
    JSON-like data, is returned redacted; what a generator yields, or an iterator or generator that it returns, is
    redacted as by ``redact_stream``. Functions may be asynchronous. Without ``target``, with options:
    ``@agent_output_middleware(known=[key])``.

    ``on_leak(findings)`` is called for each output with findings, in the same thread, before the output is returned;
    its errors are logged. Raises TypeError for an output that cannot be checked, such as an object: it is not given.
    Sets come back as lists; numbers, dates, UUIDs and members of enumerations as they are. The response objects of web
    frameworks are such a TypeError: wrap the app instead, as its outermost layer.
    """
    values = Known(known)

    def wrapped(inner: Any) -> Any:
        if is_asgi(inner):
            return AgentOutputMiddleware(inner, known=values, on_leak=on_leak)
        if not callable(inner) or inspect.isclass(inner):
            raise TypeError("agent_output_middleware takes a function or an ASGI app")
        return _decorated(inner, values, on_leak)

    return wrapped if target is None else wrapped(target)


def is_asgi(target: Any) -> bool:
    """Whether something is an ASGI app: it takes exactly scope, receive and send."""
    if not callable(target) or inspect.isclass(target):
        return False
    try:
        names = list(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return False
    return names == ["scope", "receive", "send"]


def _decorated(inner: Callable[..., Any], known: Known, on_leak: OnLeak | None) -> Callable[..., Any]:
    def given(output: Any) -> Any:
        if hasattr(output, "__aiter__"):
            return redacted_async(output, known, on_leak)
        if hasattr(output, "__next__"):
            return redacted(output, known, on_leak)
        return checked(output, known, on_leak)

    if inspect.isasyncgenfunction(inner):

        @functools.wraps(inner)
        async def generates(*args: Any, **kwargs: Any) -> Any:
            async for piece in redacted_async(inner(*args, **kwargs), known, on_leak):
                yield piece

        return generates
    if inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def waits(*args: Any, **kwargs: Any) -> Any:
            return given(await inner(*args, **kwargs))

        return waits
    if inspect.isgeneratorfunction(inner):

        @functools.wraps(inner)
        def yields(*args: Any, **kwargs: Any) -> Any:
            yield from redacted(inner(*args, **kwargs), known, on_leak)

        return yields

    @functools.wraps(inner)
    def returns(*args: Any, **kwargs: Any) -> Any:
        output = inner(*args, **kwargs)
        if inspect.isawaitable(output):

            async def later() -> Any:
                return given(await output)

            return later()
        return given(output)

    return returns
