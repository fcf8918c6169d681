"""What is read of past decisions, so that they can be taken again elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.core.arguments import JsonValue
from broker.core.decision import Opinion
from broker.core.recorded import RecordedDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionQuery:
    """Which decisions, those of the newest calls first.

    Attributes:
        tool: only of calls of this tool; of all where empty.
        since, until: only of calls asked at or after, and before, POSIX seconds; 0 for no bound.
        page_size: decisions at most.
        bytes_max: of entries and contents; one decision is given however large it is.
        before: entry and call of the last decision of the page before, `<invocation> <entry>`.
    """

    tool: str = ""
    since: float = 0.0
    until: float = 0.0
    page_size: int
    bytes_max: int
    before: str = ""


class RecordedDecisions(Protocol):
    """The decisions that the log has."""

    async def list_decisions(self, query: DecisionQuery) -> Sequence[RecordedDecision]:
        """A page of decisions; a call that was taken up again has several.

        Raises:
            StoreUnavailable: the database cannot answer, or not in time.
        """
        ...

    async def decisions_of(self, invocation: str) -> Sequence[RecordedDecision]:
        """All decisions on one call in order; none where there is no such call."""
        ...


class Explainer(Protocol):
    """Says what a kept policy says, and why, beside the way of calls."""

    async def answer(
        self, kept: bytes, question: Mapping[str, JsonValue], *, revision: str
    ) -> Opinion:
        """Ask a kept policy about a question; see `explain` for arguments and errors."""
        ...

    async def explain(
        self,
        kept: bytes,
        question: Mapping[str, JsonValue],
        *,
        revision: str,
        money: Mapping[str, str],
    ) -> Mapping[str, JsonValue]:
        """Ask a kept policy about a question, and follow how it came to its answer.

        Args:
            kept: a bundle as it was stored.
            question: a policy input.
            revision: that the bundle must be of.
            money: which of the question's integers are amounts, as `core.passing.money_in`.

        Returns:
            A JSON document, for whoever shows it.

        Raises:
            PolicyRefused: what is kept is not a bundle of that revision.
            PolicyUnavailable: it cannot be asked, or not in time.
        """
        ...
