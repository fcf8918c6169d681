"""Past decisions for those who judge rules: what was asked and what was said, changed by nobody."""

from collections.abc import Sequence
from dataclasses import replace

from broker.core.errors import NotFound
from broker.core.recorded import RecordedDecision
from broker.ports import DecisionQuery, RecordedDecisions


class RecordedAdministration:
    """Reads; nothing here has an effect."""

    def __init__(self, *, decisions: RecordedDecisions) -> None:
        self._decisions = decisions

    async def find(self, invocation: str, *, entry: str = "") -> RecordedDecision:
        """One decision on a call.

        Args:
            invocation: its name.
            entry: id of the audit entry of an earlier decision; the latest where empty.

        Raises:
            NotFound: no such call, or no such decision on it.
        """
        found = await self._decisions.decisions_of(invocation)
        wanted = [decision for decision in found if entry in {"", decision.entry}]
        if not wanted:
            raise NotFound("There is no such decision.")
        return wanted[-1]

    async def page(
        self, query: DecisionQuery
    ) -> tuple[Sequence[RecordedDecision], RecordedDecision | None]:
        """A page of decisions, those of the newest calls first.

        Returns:
            The page, and the decision after which the next one begins; None on the last page.
        """
        found = await self._decisions.list_decisions(query)
        if not found:
            return found, None
        rest = replace(query, page_size=1, before=cursor_after(found[-1]))
        more = await self._decisions.list_decisions(rest)
        return found, found[-1] if more else None


def cursor_after(decision: RecordedDecision) -> str:
    """Where the page after this decision begins, as `DecisionQuery.before`."""
    return f"{decision.invocation} {decision.entry}"
