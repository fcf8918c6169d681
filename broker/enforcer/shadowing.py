"""The second policy is asked after the first has decided, and nothing waits for it.

What is recorded is offered; offering never waits and never fails. Calls are asked about one at a
time, so that the second policy has little of the machine; where too many wait, the newest is left
out and counted. What was seen is in memory and written every few seconds, whole. Each policy in
force has a tally of its own: a difference is between two policies, and another pair is another.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from broker.core import limits
from broker.core.calls import Invocation
from broker.core.control import Control
from broker.core.decision import Opinion
from broker.core.errors import BrokerError, PolicyUnavailable
from broker.core.observing import observed
from broker.core.profiles import OfferedProfile
from broker.core.shadow_rows import tally_bytes, tally_key
from broker.core.shadowing import Shadow, Tally, compared, outcome, said_by_policy
from broker.core.unit import PutShadowTally, Unit
from broker.enforcer.deciding import Considered
from broker.ports import Policies, Store

_log = structlog.get_logger(__name__)

_LATE: Final = "POLICY_LATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offered:
    """A call that was decided."""

    shadow: Shadow
    invocation: Invocation
    considered: Considered


class Shadowing:
    """Asks the shadow. `run` does the work; for one event loop."""

    def __init__(
        self,
        *,
        control: Callable[[], Control],
        policies: Policies,
        store: Store,
        owner: str,
        offered: Callable[[], Sequence[OfferedProfile]] = tuple,
        waiting_max: int = limits.SHADOW_QUEUE_MAX,
        write_interval_s: float = limits.SHADOW_WRITE_INTERVAL_S,
    ) -> None:
        """Make one; nothing begins yet.

        Args:
            control: what is in force.
            policies: where the shadow answers.
            store: keeps what is seen.
            owner: this broker; it alone writes its tally.
            offered: the sandbox profiles that nodes tell of now.
            waiting_max: calls that may wait for the shadow.
            write_interval_s: seconds between two writings.
        """
        self._control = control
        self._policies = policies
        self._store = store
        self._owner = owner
        self._profiles = offered
        self._write_interval_s = write_interval_s
        self._waiting: asyncio.Queue[_Offered] = asyncio.Queue(waiting_max)
        self._shadow = ""
        self._tallies: dict[str, Tally] = {}  # by the revision of the policy that decided
        self._written: dict[str, Tally] = {}

    @property
    def owner(self) -> str:
        """Whose tally it is."""
        return self._owner

    def offer(self, invocation: Invocation, considered: Considered) -> None:
        """Have a call that was recorded decided beside. Never waits, never fails."""
        shadow = self._control().shadow
        if shadow is None or shadow.revision == considered.policy_revision:
            return
        if considered.question is None or considered.tool is None:
            return  # policy was spared: both would say the same
        self._begin(shadow)
        beside = considered.policy_revision
        try:
            self._waiting.put_nowait(
                _Offered(shadow=shadow, invocation=invocation, considered=considered)
            )
        except asyncio.QueueFull:
            tally = self._tally_of(beside)
            self._tallies[beside] = replace(tally, dropped=tally.dropped + 1)

    def tally(self, shadow: Shadow) -> Tally:
        """What this broker has seen of it beside the policy that is in force now."""
        beside = self._control().policy_revision
        return self._tally_of(beside) if self._shadow == shadow.name else Tally()

    async def run(self) -> None:
        """Ask and write, until cancelled; then write once more."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask())
                tasks.create_task(self._write_often())
        finally:
            with contextlib.suppress(BrokerError):
                await self.write()

    async def settled(self) -> None:
        """Return once every call that was offered has been asked about."""
        await self._waiting.join()

    async def write(self) -> None:
        """Write what was seen, if there is anything new.

        Raises:
            BrokerError: it could not be written; it is again with the next writing.
        """
        shadow = self._control().shadow
        anew = {b: t for b, t in self._tallies.items() if t != self._written.get(b)}
        if not anew or shadow is None or shadow.name != self._shadow:
            return
        changes = tuple(
            PutShadowTally(
                shadow=tally_key(shadow.name, beside), broker=self._owner, body=tally_bytes(tally)
            )
            for beside, tally in anew.items()
        )
        await self._store.commit(Unit(changes=changes, entries=()))
        if shadow.name == self._shadow:
            self._written |= anew

    def _begin(self, shadow: Shadow) -> None:
        if self._shadow != shadow.name:
            self._shadow, self._tallies, self._written = shadow.name, {}, {}

    def _tally_of(self, beside: str) -> Tally:
        return self._tallies.get(beside, Tally())

    async def _ask(self) -> None:
        while True:
            offered = await self._waiting.get()
            try:
                await self._look(offered)
            except Exception:  # noqa: BLE001 - it costs its own call, and no other
                _log.exception("shadow_failed", invocation=offered.invocation.name)
                self._missed(offered)
            finally:
                self._waiting.task_done()

    async def _look(self, offered: _Offered) -> None:
        shadow = offered.shadow
        if self._control().shadow != shadow:
            return
        opinion = await self._opinion(offered)
        if opinion is None or any(v.code == _LATE for v in opinion.verdicts):
            self._missed(offered)
        else:
            self._count(offered, opinion)

    async def _opinion(self, offered: _Offered) -> Opinion | None:
        asked = offered.considered.question or {}
        try:
            point = self._policies.at(offered.shadow.revision)
            return await point.evaluate(asked, deadline_s=limits.SHADOW_DEADLINE_S)
        except PolicyUnavailable:
            return None

    def _count(self, offered: _Offered, opinion: Opinion) -> None:
        considered, invocation = offered.considered, offered.invocation
        decision, tool = considered.plan.decision, considered.tool
        if tool is None or self._shadow != offered.shadow.name:
            return
        manifest, profiles = tool.manifest, self._profiles()
        verdicts = observed(
            opinion.verdicts,
            considered.control.observations,
            manifest,
            agent=invocation.agent,
            now=invocation.updated_at,
        )
        before = outcome(
            decision.verdicts,
            said_by_policy(decision.verdicts),
            manifest,
            obligations=decision.obligations,
            offered=profiles,
        )
        after = outcome(
            decision.verdicts,
            verdicts,
            manifest,
            obligations=opinion.obligations,
            offered=profiles,
        )
        beside = considered.policy_revision
        self._tallies[beside] = compared(
            self._tally_of(beside),
            before,
            after,
            invocation=invocation.name,
            tool=invocation.call.tool,
            at=invocation.updated_at,
        )

    def _missed(self, offered: _Offered) -> None:
        if self._shadow == offered.shadow.name:
            beside = offered.considered.policy_revision
            tally = self._tally_of(beside)
            self._tallies[beside] = replace(tally, unanswered=tally.unanswered + 1)

    async def _write_often(self) -> None:
        while True:
            await asyncio.sleep(self._write_interval_s)
            try:
                await self.write()
            except Exception as error:  # noqa: BLE001 - it is written with the next writing
                _log.warning("shadow_not_written", error=repr(error))
