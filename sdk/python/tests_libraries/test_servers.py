"""Servers with workers that are made by a fork, or that run a loop: ten rotations, and nothing is restarted."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from .servers import free_port, wait

# The secret is made when the program is loaded: with --preload once, before the workers are forked.
PROGRAM = '''
import os
from keyroll import RotatableSecret
from keyroll.sources import fetch_from_env_with_file_watch

key = RotatableSecret("KEY", fetch_from_env_with_file_watch("NO_SUCH_VARIABLE", os.environ["KEY_FILE"]))
loaded = os.getpid()


def said():
    return f"{os.getpid()} {loaded} {key.attempt().value}".encode()


def wsgi(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [said()]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said()})
'''
ROTATIONS = 10
WORKERS = 3


class Servers(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "program.py").write_text(PROGRAM)
        self.key_file = self.folder / "key"
        self.rotate()
        self.port = free_port()

    def rotate(self) -> str:
        value = f"key-{secrets.token_hex(16)}"
        (self.folder / "new").write_text(value)
        (self.folder / "new").rename(self.key_file)
        return value

    def serve(self, *words: str) -> None:
        log = open(self.folder / "log", "wb")
        self.addCleanup(log.close)
        source = str(Path(__file__).resolve().parent.parent / "src")
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "PYTHONPATH": source, "KEY_FILE": str(self.key_file)},
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        wait("the server", self.ask)

    def ask(self) -> tuple[int, int, str] | None:
        """The worker, the process that loaded the program, and the value that it has."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10) as answer:
                worker, loaded, value = answer.read().decode().split()
        except (urllib.error.URLError, ConnectionError):
            return None
        return int(worker), int(loaded), value

    def workers(self, value: str, count: int) -> set[int]:
        """The workers that have the value; waits for so many."""
        found: set[int] = set()

        def all_there() -> bool:
            answer = self.ask()
            if answer is not None and answer[2] == value:
                found.add(answer[0])
            return len(found) == count

        wait("the value in every worker", all_there)
        return found

    def turned(self, count: int) -> set[int]:
        before = self.workers(self.rotate(), count)
        for _ in range(ROTATIONS):
            self.assertEqual(self.workers(self.rotate(), count), before, "the same processes")
        return before

    def test_gunicorn_with_preload(self) -> None:
        self.serve("gunicorn", "program:wsgi", "--preload", "-w", str(WORKERS), "-b", f"127.0.0.1:{self.port}")
        workers = self.turned(WORKERS)
        answer = self.ask()
        assert answer is not None
        self.assertNotIn(answer[1], workers, "it was loaded before the fork")

    def test_uvicorn(self) -> None:
        self.serve("uvicorn", "program:asgi", "--port", str(self.port), "--log-level", "warning")
        self.turned(1)


if __name__ == "__main__":
    unittest.main()
