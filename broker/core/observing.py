"""Observing takes the force from one family's HOLD or DENY, for a while, and from nothing else.

It is an operator's act and no policy data, so that no rule and no parameter can bring it about. A
verdict keeps its effect and counts as ALLOW (`enforced=False`). What is never lifted: whatever a
stage other than policy says (scopes, freezes, bound values, limits, absent rows); whatever no
family says (silence, a policy that is late or errs); what the entry point says of a family that is
missing or speaks nonsense; a denial of a call for which facts were looked up, as it may rest on
them, or of a family whose denials are limits or scopes; and everything about a tool that is
destructive or open to the world. Nothing gets stricter, and an ALLOW stays what it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from broker.core.decision import STAGE_POLICY, Effect, Verdict
from broker.core.limits import OBSERVATION_LIFE_S_MAX
from broker.core.manifest import ToolManifest

OF_BROKEN_RULES: Final = frozenset(
    {"FAMILY_MISSING", "VERDICT_MALFORMED", "OBLIGATION_MALFORMED", "PARAMETERS_INVALID"}
)
"""Said under the name of a family that cannot judge: an error is no opinion."""

LIMITING: Final = frozenset({"budgets", "scopes"})
"""Shipped families whose denials are limits and scopes by another name; their holds can go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One family that is observed.

    Attributes:
        name: `observations/{id}`.
        agent: its id, or empty for all agents.
        created_at, expires_at: POSIX seconds, at most `limits.OBSERVATION_LIFE_S_MAX` apart.
    """

    name: str
    family: str
    agent: str
    reason: str
    observed_by: str
    created_at: float
    expires_at: float

    def is_in_force(self, *, now: float) -> bool:
        """Whether it lifts anything now; before it was made it does not, however clocks move."""
        longest = self.created_at + OBSERVATION_LIFE_S_MAX
        return self.created_at <= now < min(self.expires_at, longest)


def observed(
    verdicts: Iterable[Verdict],
    observations: Iterable[Observation],
    manifest: ToolManifest,
    *,
    agent: str,
    now: float,
) -> tuple[Verdict, ...]:
    """The verdicts, those of observed families without force.

    Args:
        verdicts: every stage's, or policy's alone.
        observations: all that are known, expired ones too.
        manifest: of the tool that is called.
        agent: the id of the one that calls.
        now: POSIX seconds.

    Returns:
        As many as came, in their order; each as it was, but for `enforced=False` where lifted.
    """
    families = {
        o.family
        for o in observations
        if o.family and o.agent in {"", agent} and o.is_in_force(now=now)
    }
    if not families or not is_observable(manifest):
        return tuple(verdicts)
    return tuple(
        replace(v, enforced=False) if v.family in families and may_be_lifted(v, manifest) else v
        for v in verdicts
    )


def may_be_lifted(verdict: Verdict, manifest: ToolManifest) -> bool:
    """Whether observing a verdict's family may take its force from it, for this tool."""
    return is_observable(manifest) and _is_liftable(verdict, manifest)


def is_observable(manifest: ToolManifest) -> bool:
    """Whether observing can change anything for this tool."""
    return not (manifest.behaviour.destructive or manifest.behaviour.open_world)


def _is_liftable(verdict: Verdict, manifest: ToolManifest) -> bool:
    if verdict.stage != STAGE_POLICY or verdict.code in OF_BROKEN_RULES:
        return False
    if verdict.effect is Effect.DENY:
        return not manifest.facts and verdict.family not in LIMITING
    return verdict.effect is Effect.HOLD
