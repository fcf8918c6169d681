"""Whether a past call was decided as its record says: it is decided again, by what is kept of then.

Nothing of what is in force now counts, nothing is changed, and what comes of it is told beside the
record, stage by stage.
"""

from broker.administration.kept import Kept, asking
from broker.administration.recorded import RecordedAdministration
from broker.core.decision import Opinion
from broker.core.errors import IllegalTransition
from broker.core.question_schema import QUESTION_VERSION
from broker.core.recorded import RecordedDecision
from broker.core.reperforming import Reperformed, reperformed
from broker.ports import Explainer


class ReperformingAdministration:
    """Reads; nothing here has an effect."""

    def __init__(
        self, *, kept: Kept, recorded: RecordedAdministration, explainer: Explainer
    ) -> None:
        self._kept = kept
        self._recorded = recorded
        self._explainer = explainer

    async def reperform(self, invocation: str, *, entry: str = "") -> Reperformed:
        """Decide a past call again.

        Args:
            invocation: its name.
            entry: id of the audit entry of an earlier decision; the latest where empty.

        Raises:
            NotFound: no such call or decision, or its policy was never in force here.
            IllegalTransition: its contents are erased, or of a form that this release cannot ask.
            PolicyUnavailable: the policy cannot be asked, or not in time.
        """
        decision = await self._recorded.find(invocation, entry=entry)
        if decision.arguments is None:
            raise IllegalTransition("What was called is erased; the log still says what followed.")
        if decision.question and decision.question.get("version") != QUESTION_VERSION:
            raise IllegalTransition("Policy was asked in a form that this release does not ask in.")
        if not decision.tool_revision:
            raise IllegalTransition("There was no such tool, so nothing more was decided.")
        manifest = await self._kept.manifest(decision)
        if manifest is None:
            raise IllegalTransition("This release cannot read the tool's manifest of then.")
        return reperformed(decision, manifest, await self._opinion(decision))

    async def _opinion(self, decision: RecordedDecision) -> Opinion | None:
        if decision.question is None:
            return None
        revision = decision.policy_revision
        kept = await self._kept.policy(revision)
        with asking(revision):
            return await self._explainer.answer(kept, decision.question, revision=revision)
