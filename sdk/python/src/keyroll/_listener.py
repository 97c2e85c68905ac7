"""The thread that waits at keyroll's socket for new versions of all secrets, and says there how they are used.

Each secret has a connection on which a request waits for another version. Reports need a connection of their own,
because the server answers one request at a time: there is one for all secrets at the same socket.
"""

from __future__ import annotations

import atexit
import logging
import math
import selectors
import socket
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Optional

from . import _wire, _worker
from ._link import ANSWER_SECONDS_MAX, LINK_ERRORS, Link
from ._push import Answer
from ._served import Key, SecretHolder, Served
from ._speaker import Speaker, Spoken
from ._values import Versioned
from .errors import SourceError

log = logging.getLogger("keyroll")

WAIT_SECONDS = 60
"""How long the server holds a request before it says that nothing changed."""
BYE_SECONDS_MAX = 1.0
"""How long ``stop`` waits for the server to hear of it."""
GRACE_SECONDS = 2.0
"""A server that is restarted is back by then, and nobody needs to hear of it."""
APART_SECONDS_MIN = 0.05
"""Between two requests for a version: a server that answers wrongly at once must not keep this thread busy."""
EARLY_SECONDS = 1.0
"""The pause after an answer that nothing changed, which came before its time."""
AFTER_A_BUG_SECONDS = 60.0
NO_DESCRIPTORS_SECONDS = 1.0
COMPLAINTS_MAX = 16


class Listener:
    """All secrets of the process at such sockets. The lock is never held while something is sent, logged or taken."""

    def __init__(self) -> None:
        self._secrets: Dict[Key, Served] = {}
        self._speakers: Dict[Optional[str], Speaker] = {}
        self._stopped = False
        self._open()

    def _open(self) -> None:
        # Reentrant: a signal handler may call in while the same thread holds it.
        self._lock = threading.RLock()
        self._dropped: deque[SecretHolder] = deque()
        self._closing: deque[Link] = deque()
        self._thread: threading.Thread | None = None
        self._waker: socket.socket | None = None
        self._pair: tuple[socket.socket, ...] = ()

    def after_fork(self) -> None:
        """In the child: nothing of the parent's connections, and each secret is asked for again."""
        links = [*self._closing, *(speaker.link for speaker in self._speakers.values())]
        self._speakers = {}
        pair = self._pair
        for key, served in list(self._secrets.items()):
            links.append(served.waiting)
            served.end, served.leave_by = threading.Event(), math.inf
            if not served.holders:
                del self._secrets[key]
                continue
            served.new_life()
            served.begun = True
        dropped = list(self._dropped)
        self._open()
        self._dropped.extend(dropped)
        for link in links:
            if link is not None:
                link.abandon()
        for sock in pair:
            _wire.close(sock)
        if self._secrets and not self._stopped:
            self._ensure_thread()

    def stop(self) -> None:
        """The interpreter ends."""
        self._stopped = True
        self.wake()

    # What the secrets call, in any thread

    def attach(
        self, key: Key, pick: Callable[[_wire.Given], Versioned],
        push: Callable[[Answer], object], confirm: Callable[[str], object],
    ) -> SecretHolder:
        """One more holder of a secret."""
        with self._lock:
            served = self._secrets.get(key)
            if served is None:
                served = self._secrets[key] = Served(key)
            elif served.reports.leaving:
                # A bye that is on its way cannot be taken back: once it is answered, a new life begins.
                if not self._speaker(served).says_bye(served):
                    served.reports.stay()
                served.end.set()
                served.end, served.leave_by = threading.Event(), math.inf
            holder = SecretHolder(self, served, pick, push, confirm)
            served.holders.add(holder)
        return holder

    @contextmanager
    def asking(self, key: Key) -> Iterator[Callable[[int], None]]:
        """Around a fetch; what it gives takes the version that was fetched. Then this thread begins to wait."""
        with self._lock:
            served = self._secrets.get(key)
            life = None if served is None else served.reports
            if served is not None:
                served.asks += 1

        def given(version: int) -> None:
            with self._lock:
                if served is not None and served.reports is life:
                    served.known = served.established = True
                    served.retry.at = 0.0
                    served.reports.given(version)
                    if served.have is None:
                        served.have = version

        try:
            yield given
        finally:
            with self._lock:
                if served is not None and served.reports is life:
                    served.asks -= 1
                    served.begun = True
            if served is not None:
                self._ensure_thread()
                self.wake()

    def in_use(self, holder: SecretHolder, version: str) -> None:
        """Notes the version that a holder's value has now."""
        with self._lock:
            if holder in holder.served.holders and version.isdecimal():
                holder.version = int(version)
                holder.served.settle()
        self.wake()

    def used(self, holder: SecretHolder, version: str, ok: bool, path: str) -> None:
        """Notes a use of a version."""
        if not version.isdecimal() or not _wire.fits(path):
            return
        with self._lock:
            if holder in holder.served.holders:
                holder.served.reports.used(int(version), ok, path)
        self.wake()

    def stop_holder(self, holder: SecretHolder) -> None:
        """Ends a holder. If it is the last of its secret, the server is told, for which this waits a short time."""
        end = self._detach(holder)
        if end is not None and threading.current_thread() is not self._thread:
            self.wake()
            end.wait(BYE_SECONDS_MAX)

    def drop(self, holder: SecretHolder) -> None:
        """The same without waiting and without the lock."""
        self._dropped.append(holder)
        self.wake()

    def wake(self) -> None:
        """Lets the thread look at everything again."""
        waker = self._waker
        try:
            if waker is not None:
                waker.send(b"\0", _wire.NO_SIGNAL)
        except OSError:
            pass  # it is awake, or opens a new one

    def _detach(self, holder: SecretHolder) -> threading.Event | None:
        with self._lock:
            served = holder.served
            if holder not in served.holders:
                return None
            served.holders.discard(holder)
            if served.holders:
                served.settle()
                return None
            alive = self._thread is not None and self._thread.is_alive() and not self._stopped
            if not alive or not (served.known or served.asks):
                self._remove(served)
                return None
            served.reports.bye()
            served.leave_by = time.monotonic() + BYE_SECONDS_MAX
            self._speaker(served).hurry()
            return served.end

    def _speaker(self, served: Served) -> Speaker:
        path = served.key[0]
        return self._speakers.get(path) or self._speakers.setdefault(path, Speaker(path))

    def _remove(self, served: Served) -> None:
        if self._secrets.get(served.key) is served:
            del self._secrets[served.key]
        self._close_waiting(served)
        served.end.set()

    def _close_waiting(self, served: Served) -> None:
        if served.waiting is not None:
            self._closing.append(served.waiting)
        served.waiting = None

    # The thread

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._stopped or (self._thread is not None and self._thread.is_alive()):
                return
            thread = threading.Thread(target=self._run, name="keyroll-socket", daemon=True)
            self._thread = thread
            try:
                thread.start()
                return
            except RuntimeError:
                self._thread = None
        log.warning("cannot start the thread that waits at keyroll's socket; the next fetch tries again")

    def _run(self) -> None:
        warned, pause = False, threading.Event()
        while not self._stopped:
            try:
                # Poll and not epoll, which needs a descriptor of its own.
                selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)()
                pair = socket.socketpair()
                for end in pair:
                    end.setblocking(False)
                selector.register(pair[0], selectors.EVENT_READ, None)
            except OSError as error:
                if not warned:
                    log.warning("cannot wait at keyroll's socket (%s); tried again", type(error).__name__)
                warned = True
                pause.wait(NO_DESCRIPTORS_SECONDS)
                continue
            self._pair, self._waker, warned = pair, pair[1], False
            try:
                self._loop(selector, pair[0])
            except OSError:
                # The program closed descriptors that are not its own.
                self._waker = None
                with self._lock:
                    for served in self._secrets.values():
                        self._close_waiting(served)
                    for speaker in self._speakers.values():
                        speaker.silenced()
            for end in pair:
                _wire.close(end)
        with self._lock:
            for link in [*self._closing, *(served.waiting for served in self._secrets.values())]:
                if link is not None:
                    link.close()
            for speaker in self._speakers.values():
                speaker.silenced()

    def _loop(self, selector: Any, awake: socket.socket) -> None:
        while not self._stopped:
            with self._lock:
                dropped, closing = list(self._dropped), list(self._closing)
                self._dropped.clear()
                self._closing.clear()
            for holder in dropped:
                self._detach(holder)
            for link in closing:
                link.close()
            left = math.inf
            for served in list(self._secrets.values()):
                left = min(left, self._guarded(served, lambda: self._step(served, selector)))
            for speaker in self._speaking():
                left = min(left, self._guarded(speaker, lambda: speaker.step(self, selector)))
            timeout = None if left == math.inf else max(0.0, left)
            for ready, _ in selector.select(timeout):
                who = ready.data
                if who is None:
                    awake.recv(4096)
                elif isinstance(who, Speaker):
                    self._guarded(who, lambda: who.read(self))
                else:
                    self._guarded(who, lambda: self._read(who))

    def _speaking(self) -> list[Speaker]:
        with self._lock:
            for path, speaker in list(self._speakers.items()):
                if speaker.link is None and all(served.key[0] != path for served in self._secrets.values()):
                    del self._speakers[path]
            for served in self._secrets.values():
                self._speaker(served)
            return list(self._speakers.values())

    def _guarded(self, who: Served | Speaker, work: Callable[[], float]) -> float:
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - the thread is for all secrets
            if not _worker.stopping():
                log.warning("waiting at keyroll's socket failed: %s; tried again in 60 s", type(error).__name__)
            if isinstance(who, Speaker):
                who.silenced()
            else:
                with self._lock:
                    self._close_waiting(who)
            who.retry.at = time.monotonic() + AFTER_A_BUG_SECONDS
            return AFTER_A_BUG_SECONDS

    # The connection on which a request waits

    def _step(self, served: Served, selector: Any) -> float:
        """Does what is due and gives the seconds until something else is."""
        now = time.monotonic()
        if served.leave_by <= now:
            with self._lock:
                self._remove(served)
            return 0.0
        return min(served.leave_by - now, self._step_waiting(served, selector, now))

    def _step_waiting(self, served: Served, selector: Any, now: float) -> float:
        link = served.waiting
        if not served.holders or not served.begun:
            if link is not None:
                served.waiting = None
                link.close()
            return math.inf
        try:
            if link is None:
                if now < served.retry.at:
                    return served.retry.at - now
                path = _wire.socket_path(served.key[0])
                link = served.waiting = Link(selector, path, served.secret, served)
                served.probing, served.next_get = True, now
            if link.busy and link.deadline <= now:
                raise _wire.failure(served.secret, "the server does not answer")
            if not link.busy and served.next_get <= now:
                # The first answer tells whether the server is there at all, so that one does not wait.
                seconds = 0 if served.probing else WAIT_SECONDS
                served.asked = (served.have, now)
                link.send(_wire.get(served.secret, served.have, seconds), seconds + ANSWER_SECONDS_MAX)
        except LINK_ERRORS as error:
            self._lost(served, error)
            return served.retry.at - now
        return (link.deadline if link.busy else served.next_get) - now

    def _read(self, served: Served) -> float:
        now, link = time.monotonic(), served.waiting
        try:
            raw = None if link is None else link.receive()
            if raw is None:
                return 0.0
            reply = _wire.read(raw, served.secret)
            del raw
            have, sent = served.asked
            if isinstance(reply, _wire.Given):
                self._given(served, reply)
                # The same version again: it changed, and changed back before the server answered.
                served.next_get = now + EARLY_SECONDS if reply.version == have else sent + APART_SECONDS_MIN
            elif isinstance(reply, _wire.Unchanged) and reply.version == have:
                early = not served.probing and now - sent < WAIT_SECONDS - EARLY_SECONDS
                served.next_get = now + EARLY_SECONDS if early else now
                for holder in list(served.holders):
                    holder.confirm(str(have))
            else:
                raise _wire.failure(served.secret, "the answer does not fit the request")
            served.probing, served.away_since, served.outage = False, None, False
        except LINK_ERRORS as error:
            self._lost(served, error)
        return 0.0

    def _given(self, served: Served, reply: _wire.Given) -> None:
        with self._lock:
            served.have, served.known, served.established = reply.version, True, True
            served.reports.given(reply.version)
            holders = list(served.holders)
        for holder in holders:
            holder.push(lambda: holder.pick(reply))

    def _lost(self, served: Served, error: Exception) -> None:
        """Connects again later, and tells the secrets if the server stays away."""
        now, link, served.waiting = time.monotonic(), served.waiting, None
        if link is not None:
            link.close()
        served.retry.failed(now, 0.0 if link is None else now - link.opened)
        if served.away_since is None:
            served.away_since = now
        # A secret without any value has its own attempts, which say why they fail.
        brief = now - served.away_since < GRACE_SECONDS
        if brief or served.outage or not served.established or _worker.stopping():
            return
        served.outage = True
        known = isinstance(error, SourceError)
        reason = str(error) if known else str(_wire.failure(served.secret, type(error).__name__))

        def fail() -> Versioned:
            raise SourceError(reason)

        for holder in list(served.holders):
            holder.push(fail)

    # What the connections for reports ask and tell, in the same thread

    def next_word(self, path: str | None, now: float) -> tuple[Spoken | None, float]:
        """What to say next at this socket, else the seconds until there may be something."""
        wait = math.inf
        with self._lock:
            # Who leaves goes first: for that a caller waits.
            for served in sorted(self._secrets.values(), key=lambda each: each.leave_by):
                if served.key[0] != path:
                    continue
                word, left = served.reports.next(now)
                # The answer to a fetch under way would make the process a user of the secret again.
                if word is not None and (word.kind != "bye" or not served.asks):
                    served.reports.sent(word, now)
                    return Spoken(served, served.reports, word), 0.0
                wait = min(wait, left if word is None else math.inf)
        return None, wait

    def said(self, spoken: Spoken, refused: str | None) -> None:
        """The server answered; ``refused`` is its sentence if it did not take the word."""
        served = spoken.served
        with self._lock:
            spoken.reports.done(spoken.word)
            if spoken.word.kind == "bye":
                now = self._secrets.get(served.key)
                if now is not None and now.holders:
                    # Somebody holds it again meanwhile, and the server believes that nobody does.
                    self._close_waiting(now)
                    now.new_life()
                    now.begun = True
                if now is served and not served.holders:
                    self._remove(served)
            complain = refused is not None and refused not in served.complaints
            if complain:
                served.complaints = [*served.complaints[-COMPLAINTS_MAX:], refused]
        if complain:
            log.warning("a report of %s was refused: %s", served.secret, refused)

    def unsaid(self, spoken: Spoken) -> None:
        """The word stays, and is said on the next connection."""
        with self._lock:
            spoken.reports.lost()

    def unreachable(self, path: str | None) -> None:
        """Nobody can be told anything at this socket now: who leaves does not wait for that."""
        with self._lock:
            for served in list(self._secrets.values()):
                if served.key[0] == path and served.leave_by != math.inf:
                    self._remove(served)


listener = Listener()
_worker.after_fork(listener.after_fork)
atexit.register(listener.stop)
