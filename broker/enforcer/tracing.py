"""Stage 3, last part: where each argument comes from, by all that this call's pass has seen."""

from collections.abc import Mapping

from broker.core.calls import Caller, Fact, ToolCall
from broker.core.control import Control
from broker.core.manifest import ToolManifest
from broker.core.provenance.memory import Memory
from broker.core.provenance.tracing import Known, Origin, trace, unselected


def traced_arguments(
    call: ToolCall,
    caller: Caller,
    manifest: ToolManifest,
    control: Control,
    facts: Mapping[str, Fact],
    memory: Memory,
) -> Mapping[str, Origin]:
    """The origin of every leaf: first without facts, which then count if that selected them."""
    principal = caller.principal
    subjects = (principal.id, *(f"groups/{group}" for group in principal.groups))
    known = Known(words=caller.session.words, entries=control.directory.known_to(subjects))
    traced = trace(call.arguments, manifest.arguments, memory=memory, known=known)
    selected_by = {name: spec.references for name, spec in manifest.facts.items()}
    values = unselected(facts, selected_by, traced, memory)
    if not values:
        return traced
    known = Known(words=known.words, entries=known.entries, facts=values)
    return trace(call.arguments, manifest.arguments, memory=memory, known=known)
