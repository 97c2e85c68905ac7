"""A file, such as a mounted Secret, with an environment variable as its fallback.

The file is looked at by stat, twice a second. inotify would need its own descriptors, has no events on network mounts,
and cannot be used without ctypes; a stat costs microseconds and sees every kind of change.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import time
from typing import Callable, Optional, Tuple, Union

from .. import _worker
from .._refresh import WholeText
from .._values import VALUE_BYTES_MAX, clean
from ..errors import SourceError

log = logging.getLogger("keyroll")

POLL_SECONDS = 0.5
LOOK_APART_SECONDS = 0.05
LOOKS_MAX = 20
RECENT_SECONDS = 2.0

_MISSING = (errno.ENOENT, errno.ENOTDIR)
_Identity = Tuple[str, int, int, int, int, int]


class _Look:
    """What one look at the file saw. ``data`` is None if there was no file."""

    __slots__ = ("identity", "data")

    def __init__(self, identity: _Identity | None, data: bytes | None) -> None:
        self.identity = identity
        self.data = data

    def mark(self) -> tuple[_Identity | None, bytes]:
        """The same for the same look. It holds a hash and not the value."""
        return self.identity, hashlib.blake2b(self.data or b"", key=_KEY).digest()


_KEY = os.urandom(32)
# Not every system has all of these flags.
_OPEN = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))


def fetch_from_env_with_file_watch(
    env_var: str, file_path: Union[str, os.PathLike[str], None] = None
) -> Callable[[], str]:
    """A fetch function for the text of ``file_path``, else of the environment variable ``env_var``.

    If ``file_path`` is a folder, the file in it that is named like ``env_var`` is read. While the file exists it
    counts, and the environment is read only if there is no such file. The file is at most 64 KiB of UTF-8; one line
    end behind it is dropped.

    A file that was written over counts when two looks 50 ms apart see the same file with the same bytes; one that was
    moved into place, or a swapped ``..data`` link, counts at once. A missing file counts as gone after two looks, with
    one warning. A file that is empty, unreadable, too large or not yet whole is a SourceError: the last good value
    stays. ``RotatableSecret`` has it looked at every 0.5 s and fetches at once when it changed.
    """
    if not isinstance(env_var, str) or not env_var or "=" in env_var or "\x00" in env_var:
        raise ValueError("env_var is not the name of a variable")
    path = None if file_path is None else os.fspath(file_path)
    if path is not None and (not isinstance(path, str) or not path or "\x00" in path):
        raise ValueError("file_path is not a path")
    return _FileSource(env_var, None if path is None else os.path.abspath(path))


class _FileSource:
    def __init__(self, env_var: str, path: str | None) -> None:
        self._env_var = env_var
        self._path = path
        self._accepted: Optional[tuple[_Identity | None, bytes]] = None
        self._had_file: bool | None = None

    def __repr__(self) -> str:
        return f"<fetch_from_env_with_file_watch {self._env_var} {self._path}>"

    def __call__(self) -> str:
        if self._path is None:
            return self._from_environment()
        look = self._settled()
        if look.data is None:
            return self._without_file()
        if not look.data.strip():
            raise SourceError(f"the file {self._path} is empty")
        self._accepted = look.mark()
        self._had_file = True
        return WholeText(clean(look.data))

    def watch(self, changed: Callable[[], object]) -> Callable[[], None]:
        """Calls ``changed()`` from the worker soon after each change of the file; returns a function that ends it."""
        if self._path is None:
            return lambda: None
        last = [self._signature()]

        def poll() -> float:
            now = self._signature()
            if now != last[0]:
                last[0] = now
                changed()
            return POLL_SECONDS

        return _worker.schedule(POLL_SECONDS, poll, may_hang=False, name=f"the watch of {self._path}").cancel

    def _file(self) -> str:
        path = self._path or ""
        return os.path.join(path, self._env_var) if os.path.isdir(path) else path

    def _signature(self) -> object:
        file = self._file()
        try:
            return _identity(file, os.stat(file))
        except OSError as error:
            return error.errno

    def _without_file(self) -> str:
        if self._had_file is not False:
            # A file that never was is how many programs run outside of their cluster; one that went is not.
            level = logging.WARNING if self._had_file else logging.INFO
            log.log(level, "there is no file %s; the environment variable %s is used", self._path, self._env_var)
        self._had_file = False
        self._accepted = None
        return self._from_environment()

    def _from_environment(self) -> str:
        value = os.environ.get(self._env_var)
        if value is None:
            where = "" if self._path is None else f"there is no file {self._path}, and "
            raise SourceError(f"{where}the environment variable {self._env_var} is not set")
        return value

    def _settled(self) -> _Look:
        """Looks until what it sees is whole."""
        before: _Look | None = None
        for number in range(LOOKS_MAX):
            if number:
                time.sleep(LOOK_APART_SECONDS)
            look = _look(self._file())
            if look is None:
                before = None
                continue
            if before is not None and before.mark() == look.mark():
                return look
            if before is None and number == 0 and self._counts_at_once(look):
                return look
            before = look
        raise SourceError(f"the file {self._path} is still being written")

    def _counts_at_once(self, look: _Look) -> bool:
        if look.data is None or not look.data.strip():
            return self._had_file is False and look.data is None
        seen, now = self._accepted, look.identity
        if now is None:
            return False
        moved = now[5] > now[4]  # changed later than written: it was moved into place, or linked
        if seen is None or seen[0] is None:
            # The first look, or the file came back: nothing to compare with, so its time has to do.
            return moved or abs(time.time() - now[4] / 1e9) > RECENT_SECONDS
        if look.mark() == seen:
            return True
        other_folder = now[0] != seen[0][0]
        other_file = now[1:3] != seen[0][1:3]
        return other_folder or (other_file and moved)


def _identity(path: str, status: os.stat_result) -> _Identity:
    return (
        os.path.realpath(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns,
    )


def _look(path: str) -> _Look | None:
    """One look; None if the file changed during it. SourceError for what is no readable file of a value's size."""
    reason: str | None = None
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer.
        descriptor = os.open(path, _OPEN)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                reason = "is not a file"
            elif before.st_size > VALUE_BYTES_MAX:
                reason = "is larger than 64 KiB"
            else:
                data = _read(descriptor)
                after = os.fstat(descriptor)
                now = _identity(path, os.stat(path))
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _MISSING:
            return _Look(None, None)
        reason = f"cannot be read ({errno.errorcode.get(error.errno or 0, type(error).__name__)})"
    if reason is not None:
        raise SourceError(f"the file {path} {reason}")
    if _identity(path, before) != now or _identity(path, after) != now or len(data) != before.st_size:
        return None
    return _Look(now, data)


def _read(descriptor: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while size <= VALUE_BYTES_MAX:
        piece = os.read(descriptor, VALUE_BYTES_MAX + 1 - size)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
