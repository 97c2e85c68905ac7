"""How fast the detector is, as ratios: to a search with one alternation of all expressions, and of hard texts to prose.

Usage: python bench/detect.py [FILE]. Prints MB/s too, which only compare on one machine.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from keyroll._guard import RedactingStream  # noqa: E402
from keyroll.detect import find_secrets  # noqa: E402
from keyroll.detect._engine import shipped  # noqa: E402

SIZE = 1024 * 1024
PROSE = "The quick brown fox jumps over the lazy dog; it has no idea why. "
LOG = "2026-01-02T10:11:12.123Z INFO app.http handled method=GET path=/api/v1/items/7 status=200 duration_ms=12\n"


def filled(part: str, size: int = SIZE) -> str:
    return part * (size // len(part))


def seconds(text: str) -> float:
    start = time.perf_counter()
    find_secrets(text)
    return time.perf_counter() - start


def main() -> None:
    find_secrets("the rules are made ready")
    ordinary = {"prose": filled(PROSE), "log": filled(LOG)}
    if len(sys.argv) > 1:
        ordinary["file"] = Path(sys.argv[1]).read_text("utf-8", "replace")
    everything = re.compile("|".join(f"(?:{rule.expression})" for rule in shipped().all))
    for name, text in ordinary.items():
        took = seconds(text)
        sample = text[: SIZE // 32]
        start = time.perf_counter()
        sum(1 for _ in everything.finditer(sample))
        naive = (time.perf_counter() - start) * len(text) / len(sample)
        print(f"{name:8} {len(text) / took / 1e6:6.1f} MB/s, {naive / took:6.0f} times the alternation's speed")
    base = seconds(ordinary["prose"])
    hard = ("a", "A1", "sk-", "eyJ-", "wif ", "private_key=", "AAAA", "://a:b@", '"key":"', "aA", "password=", "\\n",
            "password=abcdef0123\n", "password=Zk3Pq9Xw7L\n")
    for part in hard:
        one, two = seconds(filled(part, SIZE // 2)), seconds(filled(part))
        print(f"{part!r:24} {two / base:7.1f} times prose, {two / one:4.1f} times its half")
    given: list[int] = []
    stream = RedactingStream(lambda piece: given.append(len(piece)))
    start = time.perf_counter()
    for at in range(0, SIZE, 4):
        stream.write(ordinary["prose"][at : at + 4])
    stream.close()
    print(f"stream in pieces of four letters: {(time.perf_counter() - start) / base:.1f} times prose at once")


if __name__ == "__main__":
    main()
