"""The decision points that are warm: a switch of policy leaves no moment without one.

A new revision is added once it answers; the old one is retired after it has answered what it was
asked. In between both are here, and each call is decided by the one whose revision it read.
"""

from broker.core.errors import PolicyUnavailable
from broker.ports import DecisionPoint


class WarmPolicies:
    """Implements `ports.Policies`."""

    def __init__(self) -> None:
        self._points: dict[str, DecisionPoint] = {}

    def at(self, revision: str) -> DecisionPoint:
        """The one of this revision.

        Raises:
            PolicyUnavailable: none is ready.
        """
        try:
            return self._points[revision]
        except KeyError:
            raise PolicyUnavailable("Policy cannot be asked now.") from None

    def revisions(self) -> tuple[str, ...]:
        """Those that are ready, oldest first."""
        return tuple(self._points)

    async def add(self, point: DecisionPoint) -> None:
        """Take over a decision point that already answers; it replaces one of its revision."""
        replaced = self._points.pop(point.revision, None)
        self._points[point.revision] = point
        if replaced is not None:
            await replaced.close()

    async def retire(self, revision: str) -> None:
        """Close the one of this revision, if there is one, after what it was asked is answered."""
        point = self._points.pop(revision, None)
        if point is not None:
            await point.close()

    async def close(self) -> None:
        """Retire all."""
        for revision in self.revisions():
            await self.retire(revision)
