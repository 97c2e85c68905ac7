"""One request for a token, and what is done about requests that never end."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Sequence

from . import _worker

# Requests that hang keep a thread each. From this many on, a further one begins only after a pause.
HANGING_MAX = 4
HANGING_SECONDS = 60.0
HANGING_SECONDS_MAX = 3600.0


class Flight:
    """One request, and everybody who waits for it. ``done`` has None, or why there is no token."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.generation = _worker.generation()
        self.done: Future[str | None] = Future()


def crowded(hanging: Sequence[Flight], now: float) -> bool:
    """Whether so many requests hang that no further one may begin now.

    Never for ever: what hangs may not come back, and the next request may be answered. The pause doubles with each
    one, so that a source that always hangs costs few threads.
    """
    if len(hanging) < HANGING_MAX:
        return False
    pause = min(HANGING_SECONDS_MAX, HANGING_SECONDS * 2.0 ** min(len(hanging) - HANGING_MAX, 30))
    return now - max(flight.begun for flight in hanging) < pause
