"""Alike holds are decided together, each for itself: one judgement, as many approvals.

What is alike was said when each was opened (`core.alike`); it is looked at again here, so that
nothing that is not alike comes along, and only then is each approved by the etag and digest that
was shown. One that has moved meanwhile is left, and said to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.core.alike import ALIKE_MAX
from broker.core.errors import CallerError, MalformedRequest
from broker.core.holds import Reviewer
from broker.reviews.deciding import Reviews
from broker.reviews.docket import Docket


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A hold as it was shown."""

    name: str
    etag: int
    call_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One that was not decided, and why."""

    name: str
    why: str


class Together:
    """Approves holds that are alike."""

    def __init__(self, *, reviews: Reviews, docket: Docket) -> None:
        self._reviews = reviews
        self._docket = docket

    async def approve(
        self,
        reviewer: Reviewer,
        shown: Sequence[Shown],
        *,
        reason: str = "",
        take_back_s: float = 0.0,
    ) -> tuple[Left, ...]:
        """Say yes to each of several holds that are alike.

        Args:
            reviewer: who.
            shown: from two to ALIKE_MAX holds, each once.
            reason: for the record.
            take_back_s: as for one.

        Returns:
            Those that were left, and why.

        Raises:
            MalformedRequest: too few, too many, one twice, or not all alike. None was approved.
            NotFound: there is none of a name. None was approved.
        """
        names = [one.name for one in shown]
        if not 1 < len(names) <= ALIKE_MAX or len(set(names)) != len(names):
            raise MalformedRequest(f"Together are from 2 to {ALIKE_MAX} holds, each once.")
        kinds = {(await self._docket.find(name))[0].alike for name in names}
        if len(kinds) > 1 or "" in kinds:
            raise MalformedRequest("These holds are not alike; decide on each by itself.")
        left: list[Left] = []
        for one in shown:
            try:
                await self._reviews.approve(
                    reviewer,
                    one.name,
                    etag=one.etag,
                    reason=reason,
                    call_digest=one.call_digest,
                    take_back_s=take_back_s,
                )
            except CallerError as error:
                left.append(Left(name=one.name, why=str(error)))
        return tuple(left)
