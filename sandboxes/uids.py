"""Each container has a numeric user of its own, so that no two share a quota or may signal.

The kernel counts inotify instances, pending signals and message queues by user, across containers:
with one uid for all, one container can use up what another needs.
"""

from typing import Final

FIRST: Final = 700_000
LAST: Final = 765_535


class Uids:
    """Hands out users, the longest unused first."""

    def __init__(self, first: int = FIRST, last: int = LAST, *, offset: int = 0) -> None:
        """Start.

        Args:
            first: lowest uid; never a real user's.
            last: highest.
            offset: where to start in it, so that a new process does not repeat the old one's.
        """
        self._first = first
        self._count = last - first + 1
        self._next = offset % self._count
        self._taken: set[int] = set()

    def take(self) -> int:
        """One that no container has.

        Raises:
            LookupError: all are taken.
        """
        for _ in range(self._count):
            uid = self._first + self._next
            self._next = (self._next + 1) % self._count
            if uid not in self._taken:
                self._taken.add(uid)
                return uid
        raise LookupError("no uid is free")

    def give_back(self, uid: int) -> None:
        """Its container is gone."""
        self._taken.discard(uid)
