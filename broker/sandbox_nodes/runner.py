"""Calls of `runner: sandbox` are carried out at a node, and a node that fails loses only its own.

Before a call is handed over, one node after the other is asked for a place; afterwards nobody is
asked again, because it may have taken effect. A profile that was decided on is never exchanged:
where no node gives it any more, the call is decided anew.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import structlog

from broker.core.errors import RunnerUnavailable
from broker.core.manifest import SandboxSpec, ToolManifest
from broker.core.profiles import OfferedProfile
from broker.ports import Asker, SandboxNodeView
from broker.sandbox_nodes.conversation import NodeSlot, PlaceRefused, reserve
from broker.sandbox_nodes.node import POLL_INTERVAL_S, Node, NodeTls
from broker.sandbox_nodes.placement import NodeView, places

_log = structlog.get_logger(__name__)

AWAY_WAIT_S: Final = 2.0
_NOT_CONFIGURED: Final = (
    "no sandbox node is configured: start `callbroker sandboxd` and name its socket in the "
    "setting sandboxes.nodes"
)


class SandboxRunner:
    """All sandbox nodes (`ports.Runner`)."""

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        tls: NodeTls | None = None,
        interval_s: float = POLL_INTERVAL_S,
        away_wait_s: float = AWAY_WAIT_S,
    ) -> None:
        """Make one; nothing is opened yet.

        Args:
            addresses: `unix:/path`, or `host:port` with TLS.
            tls: for those that are not unix sockets.
            interval_s: between two polls of a node.
            away_wait_s: how long a call waits for a node that is away to come back, seconds.

        Raises:
            ValueError: an address beyond this machine without TLS.
        """
        self._nodes = {
            address: Node(address, tls=tls, changed=self._tell, interval_s=interval_s)
            for address in addresses
        }
        self._changed = asyncio.Event()
        self._away_wait_s = away_wait_s

    @property
    def views(self) -> tuple[NodeView, ...]:
        """What is known of each node, in the order in which they are configured."""
        return tuple(node.view for node in self._nodes.values())

    def offered(self) -> tuple[OfferedProfile, ...]:
        """The profiles that nodes told of last, each node's own."""
        return tuple(profile for view in self.views for profile in view.profiles)

    def status(self) -> tuple[SandboxNodeView, ...]:
        """Each node for an operator."""
        return tuple(
            SandboxNodeView(
                address=view.address,
                is_ready=view.is_ready,
                problem=view.problem,
                warm=sum(view.warm.values()),
                room=view.room,
                profiles=tuple(p.name for p in view.profiles if p.available),
            )
            for view in self.views
        )

    async def start(self) -> None:
        """Ask each node how it is; those that do not answer are asked again and again."""
        await asyncio.gather(*(node.start() for node in self._nodes.values()))

    async def close(self) -> None:
        """End everything. Twice is harmless."""
        await asyncio.gather(*(node.close() for node in self._nodes.values()))

    async def reserve(
        self,
        manifest: ToolManifest,
        *,
        profile: str,
        wait_s: float,
        asker: Asker | None = None,
    ) -> NodeSlot:
        """Keep a container free for one call.

        Args:
            manifest: of the tool, with its `sandbox`.
            profile: digest of what was decided on.
            wait_s: seconds to wait for a place.
            asker: a container is nobody's before it has a call.

        Raises:
            RunnerUnavailable: no node has one in time; the sentence says why.
        """
        del asker
        sandbox = manifest.sandbox
        if sandbox is None or not self._nodes:
            raise _unavailable(manifest, _NOT_CONFIGURED)
        clock = asyncio.get_running_loop().time
        begun = clock()
        while True:
            changed = self._changed
            try:
                return await self._ask_all(sandbox, profile, within_s=begun + wait_s - clock())
            except PlaceRefused as refused:
                left_s = begun + min(wait_s, self._away_wait_s) - clock()
                if not refused.is_passing or left_s <= 0:
                    raise _unavailable(manifest, str(refused)) from None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await changed.wait()

    async def _ask_all(self, sandbox: SandboxSpec, digest: str, *, within_s: float) -> NodeSlot:
        """Ask each node that may have a place, best first, none for longer than its share.

        Raises:
            PlaceRefused: none has one; as the first of them says.
        """
        asked = places(self.views, sandbox, digest=digest)
        clock = asyncio.get_running_loop().time
        end = clock() + within_s
        refusals: list[PlaceRefused] = []
        for index, place in enumerate(asked):
            node = self._nodes[place.address]
            share_s = (end - clock()) / (len(asked) - index)
            try:
                return await reserve(node, place, image=sandbox.image, wait_s=max(share_s, 0.0))
            except PlaceRefused as refused:
                _log.info("sandbox_place_refused", node=place.address, why=str(refused))
                refusals.append(refused)
        if refusals:
            is_passing = any(refused.is_passing for refused in refusals)
            raise PlaceRefused(str(refusals[0]), is_passing=is_passing)
        raise self._nobody()

    def _nobody(self) -> PlaceRefused:
        """Why there is no node to ask at all."""
        if any(view.is_ready for view in self.views):
            return PlaceRefused("no node gives the isolation that was decided on", is_passing=False)
        problem = self.views[0].problem or "it is not healthy"
        return PlaceRefused(f"no sandbox node answers: {problem}", is_passing=True)

    def _tell(self) -> None:
        """Wake whoever waits for a place."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _unavailable(manifest: ToolManifest, why: str) -> RunnerUnavailable:
    return RunnerUnavailable(
        f"{manifest.name} cannot run in a sandbox now: {why.rstrip('.')}.",
        metadata={"tool": manifest.name},
    )
