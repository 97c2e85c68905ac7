"""A PostgreSQL and a Redis of the test's own, on loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import psycopg
import redis

START_SECONDS_MAX = 60.0


def wait(what: str, seen: Callable[[], Any], seconds: float = START_SECONDS_MAX) -> Any:
    end = time.monotonic() + seconds
    while True:
        found = seen()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come within {seconds:g} s")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A program in a folder of its own; it is ended by its process."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, words: list[str], **options: Any) -> None:
        log = open(Path(self.folder) / "log", "wb")
        with log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **options)

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Server):
    def __init__(self) -> None:
        super().__init__()
        # Its programs refuse to run as root.
        user: dict[str, Any] = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
        if user:
            shutil.chown(self.folder, "nobody")
        pwfile, data = Path(self.folder) / "pw", Path(self.folder) / "data"
        pwfile.write_text(self.password)
        pwfile.chmod(0o644)
        subprocess.run(
            ["initdb", "-D", str(data), "-U", "admin", "-A", "scram-sha-256", "--pwfile", str(pwfile), "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **user,
        )
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        words = ["postgres", "-D", str(data)]
        for setting in settings:
            words += ["-c", setting]
        self.start(words, cwd=self.folder, **user)
        wait("PostgreSQL", self._is_up)

    def _is_up(self) -> bool:
        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def ask(self, sql: Any, *words: Any) -> list[Any]:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="admin", password=self.password, dbname="postgres", autocommit=True
        ) as admin:
            found = admin.execute(sql, words)
            return found.fetchall() if found.description else []

    def set_password(self, role: str, password: str) -> None:
        self.ask(psycopg.sql.SQL("ALTER ROLE {} PASSWORD {}").format(psycopg.sql.Identifier(role), password))

    def sessions(self, *roles: str) -> set[int]:
        return {pid for (pid,) in self.ask("SELECT pid FROM pg_stat_activity WHERE usename = ANY(%s)", list(roles))}


class Redis(Server):
    def __init__(self) -> None:
        super().__init__()
        config = Path(self.folder) / "redis.conf"
        config.write_text(f"port {self.port}\nbind 127.0.0.1\nsave ''\nrequirepass {self.password}\n")
        config.chmod(0o600)
        self.start(["redis-server", str(config)], cwd=self.folder)
        self.admin = redis.Redis(port=self.port, password=self.password)
        wait("Redis", self._is_up)

    def _is_up(self) -> bool:
        try:
            return bool(self.admin.ping())
        except redis.RedisError:
            return False

    def set_password(self, user: str, password: str) -> None:
        self.admin.acl_setuser(user, enabled=True, reset_passwords=True, passwords=[f"+{password}"], keys=["*"],
                               categories=["+@all"])

    def sessions(self, *users: str) -> set[str]:
        return {each["id"] for each in self.admin.client_list() if each["user"] in users}

    def close(self) -> None:
        self.admin.close()
        super().close()
