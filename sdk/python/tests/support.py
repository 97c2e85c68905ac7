"""What several tests use: waiting for a condition, programs in a process of their own, captured logs."""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable, TypeVar

T = TypeVar("T")

SOURCE = str(Path(__file__).resolve().parent.parent / "src")


def until(condition: Callable[[], T], seconds: float = 10) -> T:
    """Waits until ``condition()`` is true and returns what it gave; AssertionError after ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not true within {seconds} s: {getattr(condition, '__qualname__', 'the condition')}")
        time.sleep(0.01)


def a_value(prefix: str = "v") -> str:
    """A new random value."""
    return f"{prefix}-{secrets.token_hex(16)}"


def run_program(program: str, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a Python program with this package on its path; TimeoutExpired if it does not end."""
    environment = dict(os.environ)
    if "KEYROLL_TEST_INSTALLED" not in environment:
        environment["PYTHONPATH"] = SOURCE
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
    )


def in_threads(count: int, work: Callable[[], T]) -> list[T]:
    """Runs ``work`` in ``count`` threads that begin together; their results in any order."""
    begin = threading.Barrier(count)
    results: list[T] = []

    def one() -> None:
        begin.wait(60)
        results.append(work())

    threads = [threading.Thread(target=one, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if len(results) != count:
        raise AssertionError(f"only {len(results)} of {count} threads came to an end")
    return results


class Records(logging.Handler):
    """Collects the messages of the logger ``keyroll``: ``with Records() as seen: …; seen.texts()``."""

    def __init__(self, logger: str = "keyroll") -> None:
        super().__init__(logging.DEBUG)
        self._logger = logging.getLogger(logger)
        self._records: list[logging.LogRecord] = []
        self._before = (self._logger.level, self._logger.propagate)

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)

    def texts(self, level: int = logging.DEBUG) -> list[str]:
        """The messages of this level and above, with the text of their traceback if they have one."""
        form = logging.Formatter("%(message)s")
        return [form.format(record) for record in list(self._records) if record.levelno >= level]

    def __enter__(self) -> Records:
        self._before = (self._logger.level, self._logger.propagate)
        self._logger.addHandler(self)
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._before[0])
        self._logger.propagate = self._before[1]
