"""Take a new key without a restart: secrets that refresh themselves, an emergency endpoint, short-lived tokens,
and a guard that keeps secrets out of logs and answers.

Each name is loaded when it is first used: a program that only reads a secret does not pay for the detector.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .errors import KeyrollError, RefusedValue, SecretUnavailable, SourceError, TokenUnavailable

if TYPE_CHECKING:
    from ._emergency import EmergencyRotationController
    from ._guard import (
        AgentOutputMiddleware,
        RedactingFilter,
        RedactingStream,
        agent_output_middleware,
        check_agent_output_for_leaks,
        redact_stream,
        safe_log,
    )
    from ._secret import RotatableSecret
    from ._tokens import SelfExpiringTokenManager
    from ._values import Versioned
    from .detect import redact_secrets, scan_for_secrets

__version__ = "0.1.0"

__all__ = [
    "AgentOutputMiddleware",
    "EmergencyRotationController",
    "KeyrollError",
    "RedactingFilter",
    "RedactingStream",
    "RefusedValue",
    "RotatableSecret",
    "SecretUnavailable",
    "SelfExpiringTokenManager",
    "SourceError",
    "TokenUnavailable",
    "Versioned",
    "agent_output_middleware",
    "check_agent_output_for_leaks",
    "redact_secrets",
    "redact_stream",
    "safe_log",
    "scan_for_secrets",
]

_HOMES = {
    "AgentOutputMiddleware": "._guard",
    "EmergencyRotationController": "._emergency",
    "RedactingFilter": "._guard",
    "RedactingStream": "._guard",
    "RotatableSecret": "._secret",
    "SelfExpiringTokenManager": "._tokens",
    "Versioned": "._values",
    "agent_output_middleware": "._guard",
    "check_agent_output_for_leaks": "._guard",
    "redact_secrets": ".detect",
    "redact_stream": "._guard",
    "safe_log": "._guard",
    "scan_for_secrets": ".detect",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
