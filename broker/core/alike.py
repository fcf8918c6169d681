"""Holds are alike where one judgement does for all: the same question about other numbers.

Alike are two holds of one tool revision, stopped by the same codes on the same terms, for the same
principal through the same agent, with the same targets, each of whose values comes from the same
kinds of source. Whatever else differs is shown, leaf by leaf, before they are decided together.
"""

from collections.abc import Mapping, Sequence

from broker.core.arguments import JsonValue
from broker.core.calls import ToolCall
from broker.core.canonical import digest
from broker.core.holds import Requirement, needs_step_up
from broker.core.manifest import ToolManifest, reached
from broker.core.pointers import Missing, Pointer
from broker.core.provenance.origins import Origin

ALIKE_MAX = 20
"""The most holds that are decided together."""


def alike(
    call: ToolCall,
    manifest: ToolManifest,
    *,
    principal: str,
    agent: str,
    requirements: Sequence[Requirement],
    origins: Mapping[str, Origin],
) -> str:
    """What holds that are alike share; empty where this one is decided alone.

    One that needs a fresh sign-in is decided alone, and so is one that carries what nobody traced.

    Args:
        call: the call that waits.
        manifest: of its tool.
        principal: whose authority it uses.
        agent: through whom.
        requirements: all that stopped it.
        origins: where each leaf of the arguments comes from, by JSON Pointer.
    """
    if needs_step_up(requirements):
        return ""
    targets: dict[str, JsonValue] = {}
    for text in reached(manifest, call.arguments):
        value = Pointer.parse(text).resolve(dict(call.arguments))
        if not isinstance(value, Missing):
            targets[text] = value
    sources: dict[str, JsonValue] = {at: origin.source for at, origin in origins.items()}
    return digest(
        {
            "tool": manifest.revision,
            "principal": principal,
            "agent": agent,
            "requirements": [*sorted(digest(_terms(r)) for r in requirements)],
            "targets": targets,
            "sources": sources,
        }
    )


def _terms(requirement: Requirement) -> dict[str, JsonValue]:
    terms = requirement.terms
    return {
        "code": requirement.code,
        "reviewers": [*terms.reviewers],
        # As text: a rule may name a number that has no canonical form.
        "approvals_required": str(terms.approvals_required),
        "decide_within_s": str(terms.decide_within_s),
        "run_within_s": str(terms.run_within_s),
    }
