"""Why a past call was decided as it was: the policy that is kept is asked again, about the record.

It is asked on the side: nothing is decided, and the log is not changed. A policy that was never in
force here is not asked: its author has it, and `callbroker policy explain` with its directory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from broker.administration.kept import Kept, asking
from broker.administration.recorded import RecordedAdministration
from broker.core.arguments import JsonValue
from broker.core.errors import IllegalTransition
from broker.core.passing import money_in, passed
from broker.core.recorded import RecordedDecision
from broker.ports import Explainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A decision and why; `explanation` is a document for whoever shows it."""

    decision: RecordedDecision
    explanation: Mapping[str, JsonValue]


class ExplainingAdministration:
    """Reads; nothing here has an effect."""

    def __init__(
        self, *, kept: Kept, recorded: RecordedAdministration, explainer: Explainer
    ) -> None:
        self._kept = kept
        self._recorded = recorded
        self._explainer = explainer

    async def explain(
        self, invocation: str, *, entry: str = "", policy_revision: str = ""
    ) -> Explained:
        """Explain one decision on a call.

        Args:
            invocation: its name.
            entry: id of the audit entry of an earlier decision; the latest where empty.
            policy_revision: of a policy that is or was in force; the one that decided where empty.

        Raises:
            NotFound: no such call or decision, or no such policy was ever in force.
            IllegalTransition: policy was not asked, or what it was asked is erased.
            PolicyUnavailable: it cannot be asked, or not in time.
        """
        decision = await self._recorded.find(invocation, entry=entry)
        if decision.question is None:
            why = "is erased" if decision.is_erased else "was nothing: others had decided before"
            raise IllegalTransition(f"What policy was asked about this call {why}.")
        revision = policy_revision or decision.policy_revision
        kept = await self._kept.policy(revision)
        manifest = await self._kept.manifest(decision)
        with asking(revision):
            told = await self._explainer.explain(
                kept,
                decision.question,
                revision=revision,
                money=money_in(manifest, decision.question) if manifest else {},
            )
        before = passed(manifest, decision.question, decision.verdicts) if manifest else ()
        stages: list[JsonValue] = [one.to_json() for one in before]
        return Explained(decision=decision, explanation={**told, "passed": stages})
