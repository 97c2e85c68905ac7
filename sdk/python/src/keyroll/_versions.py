"""Which value of a secret is in use, which one may still be fallen back to, and which answers are refused."""

from __future__ import annotations

from ._values import Unpicklable, Versioned, digest, same, why_refused
from .errors import RefusedValue

VERSIONS_COUNTED_MAX = 16
COMPROMISED_MAX = 64
DROPPED_MAX = 16


class Kept(Unpicklable):
    """A value in use. ``serial`` counts the changes of value of its secret, from 1."""

    __slots__ = ("value", "version", "order", "serial")

    def __init__(self, value: str, version: str, order: int | None, serial: int) -> None:
        self.value = value
        self.version = version
        self.order = order
        self.serial = serial


class Versions(Unpicklable):
    """The current and the previous value. No locks here: whoever changes it holds one."""

    __slots__ = (
        "current", "previous", "dropped",
        "_allow_placeholders", "_keep_previous", "_before", "_compromised", "_counts", "_refused",
    )

    def __init__(self, *, allow_placeholders: bool, keep_previous: bool) -> None:
        self.current: Kept | None = None
        self.previous: Kept | None = None
        self._allow_placeholders = allow_placeholders
        self._keep_previous = keep_previous
        self._before: tuple[str, bytes] | None = None  # version and digest of the value before, also if it is not kept
        self._compromised: list[bytes] = []  # digests
        # The last values that are compromised: texts are searched for them, nothing else reads them.
        self.dropped: tuple[str, ...] = ()
        self._counts: dict[str, list[int]] = {}
        self._refused: set[int] = set()  # the serials of values that were refused, while no value was accepted since

    def take(self, answer: Versioned) -> bool:
        """Makes an answer the current value; whether the value changed. RefusedValue: nothing was changed."""
        why = why_refused(answer.value, allow_placeholders=self._allow_placeholders)
        if why is not None:
            raise RefusedValue(f"the answer {why}")
        current = self.current
        unchanged = current is not None and same(current.value, answer.value)
        if current is not None and current.order is not None and answer.order is not None:
            if answer.order < current.order:
                raise RefusedValue(f"the answer is older: number {answer.order}, in use is {current.order}")
            if answer.order == current.order and not unchanged:
                raise RefusedValue(f"the answer has the number in use, {answer.order}, and another value")
        if current is None or not unchanged:
            if self._brings_back(answer):
                raise RefusedValue("the answer is a value that was compromised")
            serial = 1 if current is None else current.serial + 1
            if answer.compromised and current is not None:
                self._mark(current)
            self._set_previous(current)
            self.current = Kept(answer.value, answer.version or str(serial), answer.order, serial)
        else:
            if answer.compromised:
                if self._before is not None:
                    self._mark_digest(self._before[1])
                self.drop_previous()
            order = current.order if answer.order is None else answer.order
            self.current = Kept(current.value, answer.version or current.version, order, current.serial)
        self._counts_of(self.current.version)
        return not unchanged

    def _brings_back(self, answer: Versioned) -> bool:
        """Whether it is a value that was marked as compromised.

        Not if a later version of the source says that the one in use is the compromised one: then somebody decided
        so, with ``set_secret`` of an emergency endpoint, and did not merely leave the old value somewhere.
        """
        if digest(answer.value) not in self._compromised:
            return False
        order = None if self.current is None else self.current.order
        later = order is not None and answer.order is not None and answer.order > order
        return not (later and answer.compromised)

    def _set_previous(self, kept: Kept | None) -> None:
        self._before = None if kept is None else (kept.version, digest(kept.value))
        marked = self._before is not None and self._before[1] in self._compromised
        self.previous = kept if self._keep_previous and not marked else None

    def _mark(self, kept: Kept) -> None:
        self._mark_digest(digest(kept.value))
        self._drop(kept.value)

    def _mark_digest(self, mark: bytes) -> None:
        others = [each for each in self._compromised if each != mark]
        self._compromised = [*others[-COMPROMISED_MAX + 1 :], mark]

    def _drop(self, value: str) -> None:
        # Without `keep_previous` a value is to be forgotten at once.
        if self._keep_previous and value not in self.dropped:
            self.dropped = (*self.dropped[1 - DROPPED_MAX :], value)

    def drop_previous(self, version: str | None = None) -> None:
        """Forgets the previous value; with ``version`` only if it is that one."""
        if self.previous is not None and version in (None, self.previous.version):
            self._drop(self.previous.value)
            self.previous = None

    def compromise(self, version: str | None) -> None:
        """Marks a version, or the last two: none is fallen back to, or taken from the source once it was replaced."""
        if self._before is not None and version in (None, self._before[0]):
            self._mark_digest(self._before[1])
        if self.current is not None and version in (None, self.current.version):
            self._mark(self.current)
        self.drop_previous(version)

    def other_than(self, tried: Kept) -> Kept | None:
        """What to try when a value was refused: the current one if it is another, else the previous one.

        Not a previous one that was refused itself: it is tried again once any value was accepted, because the refusal
        was then no verdict on the key.
        """
        for kept in (self.current, self.previous):
            if kept is None or same(kept.value, tried.value):
                continue
            if kept is self.current or kept.serial not in self._refused:
                return kept
        return None

    def refused(self, kept: Kept) -> None:
        """The issuer refused this value."""
        in_use = {each.serial for each in (self.current, self.previous) if each is not None}
        self._refused = (self._refused | {kept.serial}) & in_use

    def knows(self, version: str) -> bool:
        """Whether it is one of the last versions that were current."""
        return version in self._counts

    def count(self, version: str, ok: bool) -> bool:
        """Counts a use; False for a version that is not known."""
        if version not in self._counts:
            return False
        self._counts[version][0 if ok else 1] += 1
        if ok:
            self._refused.clear()
        return True

    def counts(self) -> dict[str, dict[str, int]]:
        return {version: {"ok": ok, "refused": refused} for version, (ok, refused) in self._counts.items()}

    def _counts_of(self, version: str) -> None:
        if version not in self._counts:
            while len(self._counts) >= VERSIONS_COUNTED_MAX:
                del self._counts[next(iter(self._counts))]
            self._counts[version] = [0, 0]
