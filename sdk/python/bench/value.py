"""What reading a secret costs, as ratios: python bench/value.py

Prints how many times as long ``key.value`` takes as a plain attribute, and how many fetches 1,000 callers that ask for
a refresh at once make.
"""

from __future__ import annotations

import sys
import threading
import time
import timeit
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from keyroll import RotatableSecret  # noqa: E402

CALLERS = 1000
# Written out, so that the cost of a loop does not hide the difference.
READS = "p.value\n" * 100


class _Plain:
    def __init__(self, value: str) -> None:
        self.value = value


def ratio() -> float:
    """The best of several runs of each, so that other work on the machine counts little."""
    plain = _Plain("a")
    with RotatableSecret("BENCH", lambda: "bench-value", 3600) as key:
        base = min(timeit.repeat(READS, globals={"p": plain}, number=2000, repeat=15))
        ours = min(timeit.repeat(READS, globals={"p": key}, number=2000, repeat=15))
    return ours / base


def fetches() -> int:
    """How many fetches one refresh by 1,000 threads makes."""
    made: list[int] = []
    begin = threading.Barrier(CALLERS)

    def slow() -> str:
        made.append(1)
        time.sleep(1.0)
        return "bench-value"

    with RotatableSecret("BENCH", slow, 3600) as key:
        made.clear()

        def ask() -> None:
            begin.wait()
            key.refresh()

        threads = [threading.Thread(target=ask) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return len(made)


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}: key.value takes {ratio():.2f} times as long as a plain attribute")
    print(f"{CALLERS} callers of refresh() at once: {fetches()} fetch(es)")
