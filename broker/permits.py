"""An agent's own process takes the permit of its call and says how it ended; nobody else's does.

What it says counts in time and once, whichever broker it says it to. One that does not have the
call keeps the word, tells who has, and answers once the call has ended; whoever ends it, its owner
or somebody after the owner's lease, closes it first and counts the word that is there. Whether the
session or the tool was stopped meanwhile changes nothing of what has happened, and is in the entry.
What comes late is kept beside the call for whoever settles it.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from broker.core import limits
from broker.core.audit import EntryKind
from broker.core.caller_word import CALLER
from broker.core.calls import Invocation
from broker.core.credentials import Credential
from broker.core.errors import NotFound, OutcomeUnstored, StoreUnavailable
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.reports import CloseReport, DropReports, KeepReport, KeptReport
from broker.core.unit import Conflict, Unit
from broker.events import Events
from broker.invocations import Invocations
from broker.ports import Asker, Clock, Outcome, Store
from broker.sessions import OPEN, is_over
from broker.tools.caller import REPORT, CallerHub, OpenPermit, Permit
from broker.tools.evidence import Entries, Evidence
from broker.tools.reports import Raised, Report, digest_of, outcome_of, read, written

__all__ = ["Permits", "Raised", "Report", "Reported"]

_log = structlog.get_logger(__name__)

_NO_PERMIT: Final = "There is no such permit."
_LOOK_AGAIN_S: Final = 1.0
_LAST_LOOK_S: Final = limits.STORE_DEADLINE_S / 2
_REPORTS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What became of a call, and whether this report is why."""

    invocation: Invocation
    counted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Permits:
    """Permits, as agents see them.

    Attributes:
        owner: this broker; the permits of its calls are with it.
        take_up: begins to release an approved hold.
        evidence: takes what comes late.
    """

    hub: CallerHub
    store: Store
    invocations: Invocations
    events: Events
    clock: Clock
    owner: str
    take_up: Callable[[str], None]
    evidence: Evidence

    @contextmanager
    def awaited(
        self, session: str, request_id: str, taker: str, *, hold: str = ""
    ) -> Iterator[None]:
        """While the block runs, a process waits to execute this call, if it says so by a taker.

        Where its hold is given and approved, it is released now.
        """
        if not taker:
            yield
            return
        with self.hub.present(Asker(session=session, request_id=request_id)):
            if hold:
                self.take_up(hold)
            yield

    async def taken(self, invocation: Invocation, taker: str) -> tuple[Invocation, Permit | None]:
        """The permit of a call that waits for its caller, for this taker.

        Args:
            invocation: one of the agent's that asks.
            taker: of the process; empty where it takes none.

        Returns:
            The call as it is now, and its permit, or None where this taker gets none.
        """
        if not taker or not invocation.is_with_caller:
            return invocation, None
        opened = await self.hub.opened(invocation.name) if self._is_mine(invocation) else None
        if opened is not None and not opened.taken.is_set():
            session = await self.store.find_session(invocation.session)
            if session is None or is_over(session, now=self.clock()):
                self.hub.withdraw(opened, why="the session was over before the permit was taken")
        permit = self.hub.take(opened, taker) if opened is not None else None
        if permit is None:
            invocation = await self.store.find_invocation(invocation.name) or invocation
        return invocation, permit

    async def report(self, agent: Credential, name: str, token: str, report: Report) -> Reported:
        """Take the word of the process that has the permit.

        Args:
            agent: whose call it is.
            name: `invocations/{uuid}`.
            token: of the permit.
            report: how it ended.

        Raises:
            NotFound: no such call of this agent's, or another permit.
            OutcomeUnstored: it counts, and could not be stored yet; it may be reported again.
            StoreUnavailable: it is not kept; it may be reported again.
        """
        if agent.acting_for is not None:
            await self.invocations.find(agent, name)  # of the person that it acts for
        body = written(report)
        opened = self.hub.find(name)
        if opened is None or opened.permit.call.invocation.agent != agent.subject:
            return await self._elsewhere(agent, name, token, report, body)
        call = opened.permit.call
        if not self.hub.is_of(opened, token):
            raise NotFound(_NO_PERMIT)
        meanwhile = await self._ended_meanwhile(call.invocation.session)
        if self.hub.find(name) is not opened:  # it ended while that was read
            return await self._elsewhere(agent, name, token, report, body)
        counted = self.hub.count(
            opened,
            outcome_of(report, read_only=call.manifest.behaviour.read_only),
            said=digest_of(body, token),
            meanwhile=meanwhile,
        )
        return Reported(invocation=await self._recorded(opened), counted=counted)

    async def close(self, opened: OpenPermit) -> None:
        """Before a permit of this broker's ends in silence: count what another one has kept."""
        try:
            async with asyncio.timeout(_LAST_LOOK_S):
                await self._close(opened.permit.call.invocation)
                await self._count_kept(opened)
        except (TimeoutError, StoreUnavailable):
            # Then it ends in silence, and whoever brought a word is told that it has not counted.
            _log.warning("report_not_closed", invocation=opened.permit.call.invocation.name)

    async def last_word(self, invocation: Invocation, *, read_only: bool) -> Outcome | None:
        """What was said in time of a call whose owner is gone; nothing more is taken of it.

        Raises:
            StoreUnavailable: ask again, and do not end it before.
        """
        await self._close(invocation)
        kept = await self._kept(invocation)
        if kept is None:
            return None
        said, report = kept
        return self.hub.marked(
            invocation,
            outcome_of(report, read_only=read_only),
            said=said,
            meanwhile=await self._ended_meanwhile(invocation.session),
        )

    async def sweep(self) -> None:
        """Drop what was kept of calls that have ended since.

        Raises:
            StoreUnavailable: another time.
        """
        seen = await self.store.list_reports(reports_max=_REPORTS_MAX)
        ended = tuple(r.invocation for r in seen if r.state is not InvocationState.RUNNING)
        if ended:
            await self.store.commit(Unit(changes=(DropReports(invocations=ended),), entries=()))

    async def follow_reports(self) -> None:
        """For ever: count what other brokers keep of this one's calls. Ends by cancellation."""
        with self.events.subscribe("report") as names:
            while True:
                name = await names.next(_LOOK_AGAIN_S)
                try:
                    found = [name] if name else await self._all_kept()
                    for opened in filter(None, map(self.hub.find, found)):
                        await self._count_kept(opened)
                except Exception as error:  # noqa: BLE001 - without it every word would come late
                    _log.warning("reports_not_followed", why=str(error) or type(error).__name__)

    async def follow_holds(self) -> None:
        """For ever: release here what was approved elsewhere and is waited for here."""
        with self.events.subscribe("hold") as names:
            async for name in names:
                if not name or not self.hub.is_waited_at:
                    continue  # lost names are found by the sweep
                try:
                    await self._release(name)
                except Exception as error:  # noqa: BLE001 - the sweep finds what is missed here
                    _log.warning("hold_not_followed", why=str(error) or type(error).__name__)

    async def _release(self, name: str) -> None:
        found = await self.store.find_hold(name)
        if found is None or found[0].state is not HoldState.APPROVED:
            return
        held = await self.store.find_invocation(found[0].invocation)
        if held is not None and self.hub.is_awaited(held.session, held.request_id):
            self.take_up(name)

    def _is_mine(self, invocation: Invocation) -> bool:
        return invocation.owner == self.owner

    async def _all_kept(self) -> list[str]:
        seen = await self.store.list_reports(reports_max=_REPORTS_MAX)
        return [one.invocation for one in seen]

    async def _close(self, invocation: Invocation) -> None:
        """From here on nobody takes a word on it that was not taken before."""
        shut = CloseReport(invocation=invocation.name, attempt=invocation.attempt, at=self.clock())
        try:
            await self.store.commit(Unit(changes=(shut,), entries=()))
        except OutcomeUnstored as doubt:
            raise StoreUnavailable("Whether it was closed is not known.") from doubt

    async def _kept(self, invocation: Invocation) -> tuple[bytes, Report] | None:
        """Digest and word that another broker has kept, if who has the permit has said it."""
        kept = await self.store.find_report(invocation.name)
        if kept is None or not kept.said:
            return None
        if not self.hub.is_written(invocation, kept.body, kept.said):
            _log.error("report_of_nobody", invocation=invocation.name)
            return None
        report = read(kept.body)
        return None if report is None else (kept.said, report)

    async def _count_kept(self, opened: OpenPermit) -> None:
        call = opened.permit.call
        if opened.outcome.done():
            return
        kept = await self._kept(call.invocation)
        if kept is None:
            return
        said, report = kept
        outcome = outcome_of(report, read_only=call.manifest.behaviour.read_only)
        meanwhile = await self._ended_meanwhile(call.invocation.session)
        self.hub.count(opened, outcome, said=said, meanwhile=meanwhile)

    async def _ended_meanwhile(self, session: str) -> str:
        """What nobody can undo any more, and everybody should know who reads of the call."""
        try:
            found = await self.store.find_session(session)
        except StoreUnavailable:
            return "unknown"
        return "" if found is not None and found.state == OPEN else "session"

    async def _recorded(self, opened: OpenPermit) -> Invocation:
        name = opened.permit.call.invocation.name
        with contextlib.suppress(TimeoutError, StoreUnavailable):
            async with asyncio.timeout(limits.STORE_DEADLINE_S):
                await opened.recorded.wait()
                found = await self.store.find_invocation(name)
                if found is not None:
                    return found
        raise _unstored(name)

    async def _elsewhere(
        self, agent: Credential, name: str, token: str, report: Report, body: bytes
    ) -> Reported:
        """Another broker waits for it, or nobody any more: it counts, or is evidence."""
        invocation = await self.invocations.find(agent, name)
        if invocation.runner != CALLER or not self.hub.knows(invocation, token):
            raise NotFound(_NO_PERMIT)
        said = digest_of(body, token)
        if invocation.is_with_caller:
            if not self._is_mine(invocation):
                await self._keep(invocation, body, said)
            invocation = await self._ended(agent, name)
        counted = await self.evidence.keep(
            invocation,
            outcome_of(report, read_only=False),
            actor=agent.subject,
            body={"reported_by": "agent"},
            is_known=functools.partial(_was_counted, said),
        )
        return Reported(invocation=invocation, counted=counted)

    async def _keep(self, invocation: Invocation, body: bytes, said: bytes) -> None:
        """Keep a word for the broker that has the call, unless it comes late or second."""
        kept = KeptReport(
            invocation=invocation.name,
            attempt=invocation.attempt,
            body=body,
            said=said,
            at=self.clock(),
        )
        with contextlib.suppress(Conflict):
            try:
                await self.store.commit(Unit(changes=(KeepReport(report=kept),), entries=()))
            except OutcomeUnstored as doubt:
                raise _unstored(invocation.name) from doubt
        self.events.publish("report", invocation.name)

    async def _ended(self, agent: Credential, name: str) -> Invocation:
        """The call once its end is stored."""
        with contextlib.suppress(TimeoutError, StoreUnavailable):
            async with asyncio.timeout(limits.STORE_DEADLINE_S):
                async for invocation in self.invocations.watch(agent, name):
                    if not invocation.is_with_caller:
                        return invocation
        raise _unstored(name)


def _was_counted(said: bytes, entries: Entries) -> bool:
    """Whether it is this that has ended the call; its entry says so, to every broker."""
    for entry in reversed(entries):
        if entry["kind"] == EntryKind.CALL_ENDED:
            body = entry["body"]
            run = body.get("run") if isinstance(body, dict) else None
            return isinstance(run, dict) and run.get(REPORT) == said.hex()
    return False


def _unstored(name: str) -> OutcomeUnstored:
    return OutcomeUnstored(
        "It was executed, and its outcome could not be stored yet; do not execute it again.",
        metadata={"invocation": name},
    )
