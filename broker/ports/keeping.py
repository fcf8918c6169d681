"""What there is to erase, and that what was erased is gone."""

from collections.abc import Sequence
from typing import Protocol

from broker.core.retention import Erasable
from broker.ports.browsing import LogHead


class Keeping(Protocol):
    """Every method raises StoreUnavailable when the database cannot answer."""

    async def erasable_sessions(
        self, *, after: str, opened_before: float, now: float, page_size: int
    ) -> Sequence[Erasable]:
        """A page of sessions that are not erased, by name.

        Args:
            after: the last name of the page before.
            opened_before: POSIX seconds; 0 for all.
            now: POSIX seconds.
            page_size: how many at most.
        """
        ...

    async def erasable_mandates(
        self, *, after: str, made_before: float, now: float, page_size: int
    ) -> Sequence[Erasable]:
        """A page of mandates that nobody redeemed or can redeem, and that are not erased."""
        ...

    async def sessions_with_files_over(
        self, *, after: str, now: float, page_size: int
    ) -> Sequence[Erasable]:
        """A page of sessions that have files whose own time is over, by name."""
        ...

    async def unerased_calls(self, session: str, *, calls_max: int) -> Sequence[str]:
        """Some calls of a session that are not erased."""
        ...

    async def checkpoint_now(self) -> None:
        """Sign a head over all that is committed, and write it outside."""
        ...

    async def log_head(self) -> LogHead | None:
        """The newest signed head."""
        ...

    async def scrub(self) -> bool:
        """Have nothing that was erased left in the database's own journal, where it has one.

        Returns:
            Whether that is so. Where somebody reads what is in it, ask again.
        """
        ...
