"""Which isolation a call runs under: the manifest's or a tighter one, or the call is refused.

A profile may stand in for another only where the node that gives it says that it is at least as
tight in every respect. Policy chooses among those; nothing that it says can loosen one, and one
that no node can give is a refusal with its reason, never a downgrade. What is chosen is named by
digest, so that what a node gives later can be held against it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from broker.core.decision import STAGE_SETTLE, Effect, Obligation, Verdict
from broker.core.manifest import SandboxSpec
from broker.core.text import visible, visible_value

# Which rule asks for what is for operators; callers learn that it cannot be done.
UNSUPPORTED_TOLD: Final = "Policy asks for something that this broker cannot do."
_UNAVAILABLE_TOLD: Final = "The isolation that this call must have cannot be given now."
_REASON_CHARACTERS_MAX: Final = 500
_NAME_CHARACTERS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedProfile:
    """A profile as one node tells it.

    Attributes:
        digest: "sha256:…" of everything that it says.
        unavailable_because: where it is not available, one sentence of the node's.
        tightens: names of the profiles that it is at least as tight as; its own is among them.
        isolated: there is no way out, so that however a run ends nothing outside was touched.
    """

    name: str
    digest: str
    available: bool
    unavailable_because: str = ""
    tightens: frozenset[str]
    isolated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenProfile:
    """What a call runs under. Both are empty where no node is known that could say."""

    name: str = ""
    digest: str = ""


NO_PROFILE: Final = ChosenProfile()


def choose_profile(
    sandbox: SandboxSpec,
    obligations: Iterable[Obligation],
    offered: Sequence[OfferedProfile],
) -> ChosenProfile | Verdict:
    """The tightest of what the manifest and policy ask for.

    Args:
        sandbox: of the tool's manifest.
        obligations: of kind `profile`, each naming one.
        offered: what each node says of each of its profiles; none where no node is known.

    Returns:
        What to run under, or why not: OBLIGATION_UNSUPPORTED where policy asks for one that is
        unknown or looser than the manifest's, or for several of which none is the tightest;
        PROFILE_UNAVAILABLE where no node can give it.
    """
    wanted = {sandbox.profile, *(str(o.parameters.get("profile")) for o in obligations)}
    if not offered:
        return NO_PROFILE
    if all(profile.name != sandbox.profile for profile in offered):
        return _unavailable(sandbox.profile, "no node knows it")
    tighter = {p.name for p in offered if sandbox.profile in p.tightens}
    able = [p for p in offered if p.name in wanted and wanted <= p.tightens]
    if not able or not wanted <= tighter:
        return _unsupported(
            wanted, tighter, known={p.name for p in offered}, manifests=sandbox.profile
        )
    there = [p for p in able if p.available]
    if not there:
        return _unavailable(able[0].name, able[0].unavailable_because)
    # Nodes should agree on what a name means; where they do not, most of them say what it does.
    nodes = Counter((p.name, p.digest) for p in there)
    name, digest = min(nodes, key=lambda one: (-nodes[one], one))
    return ChosenProfile(name=name, digest=digest)


def _unsupported(
    wanted: AbstractSet[str], tighter: AbstractSet[str], *, known: AbstractSet[str], manifests: str
) -> Verdict:
    names, why = wanted, "of which none is as tight as each of the others"
    if wanted - known:
        names, why = wanted - known, "which no node knows"
    elif wanted - tighter:
        names, why = wanted - tighter, f"which is not as tight as {manifests}"
    shown = (visible_value(name, characters_max=_NAME_CHARACTERS_MAX) for name in sorted(names))
    return Verdict(
        effect=Effect.DENY,
        stage=STAGE_SETTLE,
        code="OBLIGATION_UNSUPPORTED",
        message=f"Policy asks for the isolation {' and '.join(shown)}, {why}.",
        told=UNSUPPORTED_TOLD,
    )


def _unavailable(name: str, because: str) -> Verdict:
    reason = visible(because, characters_max=_REASON_CHARACTERS_MAX)
    return Verdict(
        effect=Effect.DENY,
        stage=STAGE_SETTLE,
        code="PROFILE_UNAVAILABLE",
        message=f"The isolation {name} cannot be given: {reason or 'nobody says why'}",
        told=_UNAVAILABLE_TOLD,
    )
