"""How fast a new version reaches many processes: python bench/push.py [PROCESSES]

Starts processes that hold a secret at a socket, delivers a new version, and prints the milliseconds from there until
each process said that it is in use. The server is the stand-in of the tests, a thread per connection of this process:
the numbers hold the cost of that too.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "src"), str(HOME)]

from tests.support import until  # noqa: E402
from tests.values_socket import ValuesSocket  # noqa: E402

PROCESSES = 50
ROUNDS = 5
START_SECONDS_MAX = 120.0

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from keyroll import RotatableSecret
from keyroll.sources import fetch_from_keyroll
key = RotatableSecret("BENCH", fetch_from_keyroll("bench", socket=sys.argv[2]), 3600)
sys.stdin.read()
"""


def measure(processes: int) -> list[float]:
    """The milliseconds of each process in each round."""
    server, took, begun = ValuesSocket(), [], 0.0

    def note(kind: str, body: dict[str, Any]) -> None:
        if kind == "loaded" and body["version"] > 1:
            took.append((time.monotonic() - begun) * 1000)

    server.instead = note
    server.deliver("bench", 1, "bench-value-1")
    arguments = [sys.executable, "-c", PROGRAM, str(HOME / "src"), server.path]
    running = [subprocess.Popen(arguments, stdin=subprocess.PIPE) for _ in range(processes)]
    try:
        until(lambda: server.said().count(("loaded", 1)) == processes, START_SECONDS_MAX)
        for version in range(2, ROUNDS + 2):
            # The request that waits follows the report; a new version that comes before it is answered at once.
            time.sleep(0.5)
            begun = time.monotonic()
            server.deliver("bench", version, f"bench-value-{version}")
            until(lambda: server.said().count(("loaded", version)) == processes, START_SECONDS_MAX)
    finally:
        for each in running:
            each.communicate(b"")
        server.end()
    return took


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PROCESSES
    all_of_them = sorted(measure(count))
    median, slowest = statistics.median(all_of_them), all_of_them[-1]
    print(f"{count} processes, {ROUNDS} versions, deliver to in use: median {median:.1f} ms, slowest {slowest:.1f} ms")
