"""Whom a principal has reached is known by equal values alone, and each tool's reach by itself.

A target is a leaf of the arguments under one of the tool's targets, with the names that the model
chose on the way to it. It is remembered as a digest, together with the principal's, since what a
call said is erased in time and whom it reached is not. Two spellings of one text are one target
(Unicode's NFC); what only looks alike, another case or an encoding of it is another. What one tool
has reached is not known to another: else a harmless one would make a stranger known to payments.

Only a call that has taken effect counts, in the very unit that says so. The counts never fall, so
that whoever reads them early may take somebody known for new, and nobody new for known.
"""

from collections.abc import Mapping

from broker.core.arguments import JsonValue
from broker.core.calls import Invocation
from broker.core.canonical import digest
from broker.core.lifecycle import InvocationState
from broker.core.limits import TARGETS_MAX
from broker.core.manifest import ToolManifest, reached
from broker.core.provenance.leaves import Leaf, leaves_of
from broker.core.provenance.memory import exact
from broker.core.unit import CountReached


def targets(
    principal: str, manifest: ToolManifest, arguments: Mapping[str, JsonValue]
) -> dict[str, str]:
    """The digest of each target that a call names, by JSON Pointer.

    None where there are more than `TARGETS_MAX`: such a call's targets are never known.

    Args:
        principal: its id.
        manifest: of the tool.
        arguments: that its schema accepts.
    """
    pointers = reached(manifest, arguments)
    if not pointers:
        return {}
    below = tuple(f"{pointer}/" for pointer in pointers)
    found: dict[str, str] = {}
    for leaf in leaves_of(arguments, manifest.arguments):
        if leaf.is_empty and not leaf.names:
            continue
        if f"{leaf.pointer}/".startswith(below):
            found[leaf.pointer] = _digest(principal, leaf)
            if len(found) > TARGETS_MAX:
                return {}
    return found


def counted(invocation: Invocation, manifest: ToolManifest) -> tuple[CountReached, ...]:
    """What is remembered of a call as it ended: its targets, if it changed something.

    Args:
        invocation: as it is being recorded.
        manifest: that it was decided on.
    """
    if invocation.state is not InvocationState.SUCCEEDED or manifest.behaviour.read_only:
        return ()
    named = targets(invocation.principal, manifest, invocation.call.arguments)
    return tuple(
        CountReached(
            principal=invocation.principal,
            target=target,
            tool=manifest.name,
            at=invocation.updated_at,
        )
        for target in sorted(set(named.values()))
    )


def _digest(principal: str, leaf: Leaf) -> str:
    value = exact(leaf.value) if isinstance(leaf.value, str) else leaf.value
    names: list[JsonValue] = [exact(name) for name in leaf.names]
    return digest({"names": names, "principal": principal, "value": value})
