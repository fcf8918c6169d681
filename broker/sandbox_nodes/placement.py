"""Where a call goes: to the node with the most warm slots for it, then to the one with most room.

A node is asked only where it now gives exactly the profile that was decided on, and still says that
this is at least as tight as what the manifest asks for. What a node told a moment ago is corrected
by what it was handed since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from broker.core.manifest import SandboxSpec
from broker.core.profiles import OfferedProfile

Pool = tuple[str, str]
"""An image's digest and a profile's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """What is known of a node.

    Attributes:
        address: where it listens; names it.
        is_ready: it answered when it was last asked, and its container engine answers it.
        problem: where it is not, why, in one sentence.
        profiles: what it told last, also where it is not ready now.
        warm: containers that wait, by pool.
        room: containers that it could start beside those that there are.
        taken: slots that were asked of it since it told, by pool.
    """

    address: str
    is_ready: bool = False
    problem: str = "It was not asked yet."
    profiles: tuple[OfferedProfile, ...] = ()
    warm: Mapping[Pool, int] = field(default_factory=dict)
    room: int = 0
    taken: Mapping[Pool, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A node that may be asked, and the profile as it tells it."""

    address: str
    profile: OfferedProfile


def places(nodes: Sequence[NodeView], sandbox: SandboxSpec, *, digest: str) -> tuple[Place, ...]:
    """The nodes to ask, best first.

    Args:
        nodes: all that are known.
        sandbox: of the tool's manifest.
        digest: of the profile that was decided on.
    """
    able = [
        (node, profile)
        for node in nodes
        if node.is_ready and (profile := _given(node, sandbox, digest)) is not None
    ]
    able.sort(key=lambda one: _preference(one[0], (sandbox.image, one[1].name)))
    return tuple(Place(address=node.address, profile=profile) for node, profile in able)


def _given(node: NodeView, sandbox: SandboxSpec, digest: str) -> OfferedProfile | None:
    for profile in node.profiles:
        is_as_decided = profile.digest == digest and sandbox.profile in profile.tightens
        if is_as_decided and profile.available:
            return profile
    return None


def _preference(node: NodeView, pool: Pool) -> tuple[int, int, str]:
    warm = max(node.warm.get(pool, 0) - node.taken.get(pool, 0), 0)
    room = node.room - sum(node.taken.values())
    return (-warm, -room, node.address)
