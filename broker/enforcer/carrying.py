"""Stages 10 to 12: hand over, look at the answer, record the outcome; only then release it.

This is the only effect in the world. It runs as the broker's own task: nobody who hangs up cancels
it. Whoever gave the answer keeps it until it is recorded. The lease of what is under way here is
kept meanwhile, so that nobody else takes it for lost.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from broker.core import freezes, limits
from broker.core.calls import Caller, Invocation
from broker.core.control import Control, RegisteredTool
from broker.core.errors import OutcomeUnstored, StoreUnavailable
from broker.core.labels import WORST, Labels, join
from broker.core.leases import KeepLease, leased_until
from broker.core.plan import Run
from broker.core.unit import Conflict, Unit
from broker.enforcer.compiling import Compiler
from broker.enforcer.concluding import again, conclude
from broker.enforcer.ending import Endings
from broker.enforcer.files import (
    FileGone,
    Handed,
    keep,
    load,
    output_labels,
    reached_outside,
)
from broker.ports import Clock, Failed, FrozenCall, Lost, NeverStarted, Outcome, Slot, Succeeded

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """Hands calls over, and has it recorded how they ended.

    Attributes:
        carrying: the invocations that are under way here, by name.
        runner_grace_s: how long a runner may take to say that a deadline has passed, seconds.
        keep_lease_s: how often the lease of a long call is kept, seconds.
    """

    control: Callable[[], Control]
    endings: Endings
    clock: Clock
    carrying: set[str] = field(default_factory=set)
    runner_grace_s: float = limits.STORE_DEADLINE_S
    keep_lease_s: float = limits.LEASE_S / 3
    compiler: Compiler = field(default_factory=Compiler)

    async def carry(
        self,
        invocation: Invocation,
        caller: Caller,
        tool: RegisteredTool,
        plan: Run,
        slot: Slot,
        *,
        given: Labels,
    ) -> Invocation:
        """Have a RUNNING invocation carried out, and record the outcome.

        Args:
            invocation: as it was recorded.
            caller: for whom.
            tool: as it was decided on.
            plan: with the duties on its result.
            slot: where it has a place.
            given: labels of what the call's arguments carry in.

        Returns:
            The invocation as it was recorded.

        Raises:
            OutcomeUnstored: it ran, or may have, and that could not be recorded.
        """
        self.carrying.add(invocation.name)
        try:
            try:
                handed = await self._load(invocation, tool)
                outcome = await self._hand_over(invocation, caller, tool, slot, handed)
            finally:
                slot.release()
            if invocation.attempt > 1:
                outcome = again(outcome)
            labels = _labels(outcome, tool, handed, given)
            await self.compiler.ready(tool)  # it may have been decided on before a restart
            ended = conclude(outcome, tool, plan, labels, is_asking=invocation.is_preview)
            left = await keep(
                ended.files,
                ended.withheld,
                invocation=invocation,
                caller=caller,
                labels=labels,
                now=self.clock(),
            )
            after = await self.endings.record(
                invocation,
                ended,
                actor="broker",
                left=left,
                manifest=tool.manifest,
                stored=slot.acknowledge,
            )
            slot.acknowledge()
            return after
        finally:
            self.carrying.discard(invocation.name)

    async def _load(self, invocation: Invocation, tool: RegisteredTool) -> Handed | NeverStarted:
        """The files that the call names; or why they cannot be handed over."""
        try:
            return await load(self.endings.store, invocation, tool.manifest, now=self.clock())
        except (FileGone, StoreUnavailable) as gone:
            return NeverStarted(why=str(gone))

    async def _hand_over(
        self,
        invocation: Invocation,
        caller: Caller,
        tool: RegisteredTool,
        slot: Slot,
        handed: Handed | NeverStarted,
    ) -> Outcome:
        if isinstance(handed, NeverStarted):
            return handed
        # A freeze that came after the decision still stops what has not been handed over.
        freeze = freezes.covering_call(self.control().freezes, invocation, now=self.clock())
        if freeze is not None:
            return NeverStarted(why=f"frozen: {freeze.name}")
        deadline_s = tool.manifest.deadline_s
        frozen = FrozenCall(
            invocation=invocation,
            manifest=tool.manifest,
            principal=caller.principal,
            fencing_token=secrets.token_urlsafe(24),
            deadline_s=deadline_s,
            files=handed.files,
        )
        keeping = asyncio.get_running_loop().create_task(self._keep_lease(invocation))
        try:
            # The runner keeps the deadline; this one only catches a runner that does not.
            async with asyncio.timeout(deadline_s + self.runner_grace_s):
                return await slot.run(frozen)
        except TimeoutError:
            return Lost(why="the runner did not keep the deadline")
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it may have happened
            _log.exception("runner_failed", invocation=invocation.name)
            return Lost(why=f"the runner failed: {type(error).__name__}")
        finally:
            keeping.cancel()

    async def _keep_lease(self, invocation: Invocation) -> None:
        """Until cancelled, or until it has lapsed: then somebody else may have ended the call."""
        while (now := self.clock()) < invocation.deadline_at - limits.LEASE_S:
            await asyncio.sleep(self.keep_lease_s)
            now = self.clock()
            kept = KeepLease(
                invocation=invocation.name,
                owner=invocation.owner,
                attempt=invocation.attempt,
                at=now,
                until=leased_until(now, max(invocation.deadline_at - now, 0.0)),
            )
            try:
                await self.endings.store.commit(Unit(changes=(kept,), entries=()))
            except Conflict:
                _log.warning("lease_lapsed", invocation=invocation.name)
                return
            except (StoreUnavailable, OutcomeUnstored):
                _log.warning("lease_not_kept", invocation=invocation.name)


def _labels(
    outcome: Outcome, tool: RegisteredTool, handed: Handed | NeverStarted, given: Labels
) -> Labels:
    """Of what the tool left, its words of failure too; the worst where nobody can say."""
    if not isinstance(outcome, Succeeded | Failed) or isinstance(handed, NeverStarted):
        return WORST
    inputs = join(handed.labels, given)
    outside = reached_outside(outcome.trail)
    return output_labels(tool.output, inputs, reached_outside=outside)
