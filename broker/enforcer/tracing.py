"""Stage 3, last part: where each argument comes from, by all that this call's pass has seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.calls import Caller, Fact, Principal, ToolCall
from broker.core.control import Control
from broker.core.directory import subjects_of
from broker.core.labels import BEST, Labels
from broker.core.manifest import ToolManifest
from broker.core.provenance.effort import Effort
from broker.core.provenance.finding import Known
from broker.core.provenance.memory import Memory, Sighting
from broker.core.provenance.origins import Origin
from broker.core.provenance.places import KnownPlaces
from broker.core.provenance.tracing import input_labels, trace
from broker.enforcer.memories import Memories, Recalled

PRINCIPAL: Final = "principal"
_DIRECTORY_BYTES: Final = 1024 * 1024  # counts for as much where it is not in order yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What the session had seen, and what of it the call has.

    Attributes:
        origins: of the arguments' leaves, by JSON Pointer.
        labels: of what the session has seen.
        given: of what the call itself carries in.
        positions: how much each session of the line had seen; `record` requires that it is so yet.
    """

    origins: Mapping[str, Origin] = field(default_factory=dict)
    labels: Labels = BEST
    given: Labels = BEST
    positions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tracer:
    """Traces calls, with what it keeps between them."""

    memories: Memories = field(default_factory=Memories)
    places: KnownPlaces = field(default_factory=KnownPlaces)

    async def trace(
        self,
        call: ToolCall,
        caller: Caller,
        manifest: ToolManifest,
        control: Control,
        *,
        facts: Mapping[str, Fact],
        recalled: Recalled,
        sightings: Mapping[str, Sequence[Sighting]],
    ) -> Traced:
        """Where each argument comes from.

        Args:
            call: the frozen call.
            caller: for whom.
            manifest: of its tool.
            control: what is in force.
            facts: as they were looked up for it.
            recalled: what was known of the session before the store was asked.
            sightings: what the store had besides, by session.
        """
        principal, directory = caller.principal, control.directory

        looked_up = {PRINCIPAL: _told_of(principal), **facts}
        selected_by = {name: spec.references for name, spec in manifest.facts.items()}

        def look(memory: Memory, effort: Effort) -> Traced:
            known = Known(
                words=caller.session.words,
                places=self.places.to(directory, subjects_of(principal.id, principal.groups)),
            )
            found = trace(
                call.arguments,
                manifest.arguments,
                memory=memory,
                known=known,
                facts=looked_up,
                selected_by={PRINCIPAL: (), **selected_by},
                effort=effort,
            )
            return Traced(
                origins=found.origins,
                labels=memory.labels,
                given=input_labels(found, memory),
                positions=recalled.positions,
            )

        size = len(call.canonical)
        size += 0 if self.places.is_ready(directory) else _size(control)
        return await self.memories.look(recalled, sightings, look, size=size)


def _told_of(principal: Principal) -> Fact:
    """What the host says of whom the call is for: known to the broker, and to no tool."""
    value: JsonValue = {"id": principal.id, "attributes": dict(principal.attributes)}
    return Fact(name=PRINCIPAL, source="the host", value=value)


def _size(control: Control) -> int:
    return _DIRECTORY_BYTES if control.directory.entries else 0
