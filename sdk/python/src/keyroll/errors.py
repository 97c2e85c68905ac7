"""The errors of this package. No message of theirs holds a value."""

from __future__ import annotations

from typing import Callable


class KeyrollError(Exception):
    """The base of all errors that this package raises on purpose."""


class SecretUnavailable(KeyrollError):
    """No good value was fetched yet.

    ``secret_name`` is the name, ``reason`` says in words why the last attempt failed. Neither holds a value.
    """

    def __init__(self, secret_name: str, reason: str = "no value was fetched yet") -> None:
        super().__init__(f"no value of {secret_name}: {reason}")
        self.secret_name = secret_name
        self.reason = reason

    def __reduce__(self) -> tuple[Callable[..., SecretUnavailable], tuple[str, str]]:
        # The arguments of this class are not those of its base, which the default would pass.
        return (type(self), (self.secret_name, self.reason))


class SourceError(KeyrollError):
    """A source could not give a value. The message names the source and the reason, never a value."""


class TokenUnavailable(KeyrollError):
    """There is no valid token, and no new one could be had. ``reason`` says why, in words."""

    def __init__(self, reason: str = "no token was fetched yet") -> None:
        super().__init__(f"no valid token: {reason}")
        self.reason = reason

    def __reduce__(self) -> tuple[Callable[..., TokenUnavailable], tuple[str]]:
        return (type(self), (self.reason,))


class RefusedValue(KeyrollError):
    """A value that must not be used. The message says why, never the value."""
