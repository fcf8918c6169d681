"""An agent's own process takes the permit of its call and says how it ended; nobody else's does.

What it says counts in time and once. Whether the session or the tool was stopped meanwhile changes
nothing of what has happened, and is in the entry. What comes late is kept beside the call for
whoever settles it.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, assert_never

from broker.core import limits
from broker.core.caller_word import CALLER, RECONCILED
from broker.core.calls import Invocation
from broker.core.credentials import Credential
from broker.core.errors import NotFound, OutcomeUnstored, RunnerUnavailable, StoreUnavailable
from broker.core.inspection import TOOL_FAILED
from broker.invocations import Invocations
from broker.ports import Asker, Clock, Failed, Lost, Outcome, Store, Succeeded
from broker.sessions import OPEN
from broker.tools.caller import CallerHub, OpenPermit, Permit
from broker.tools.evidence import keep_late

_NO_PERMIT: Final = "There is no such permit."
_CLASS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """The tool's code raised. `kind` is the name of the error's class, as it was said."""

    kind: str


Report = Succeeded | Failed | Raised


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What became of a call, and whether this report is why."""

    invocation: Invocation
    counted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Permits:
    """Permits, as agents see them."""

    hub: CallerHub
    store: Store
    invocations: Invocations
    clock: Clock

    @contextmanager
    def awaited(self, session: str, request_id: str, taker: str) -> Iterator[None]:
        """While the block runs, a process waits to execute this call, if it says so by a taker."""
        if not taker:
            yield
            return
        with self.hub.present(Asker(session=session, request_id=request_id)):
            yield

    async def taken(
        self, invocation: Invocation, taker: str, *, is_session_open: bool = False
    ) -> tuple[Invocation, Permit | None]:
        """The permit of a call that waits for its caller, for this taker.

        Args:
            invocation: one of the agent's that asks.
            taker: of the process; empty where it takes none.
            is_session_open: whether that was found out just now.

        Returns:
            The call as it is now, and its permit, or None where this taker gets none.
        """
        if not taker or not invocation.is_with_caller:
            return invocation, None
        opened = await self.hub.opened(invocation.name)
        if opened is not None and not is_session_open and not opened.taken.is_set():
            session = await self.store.find_session(invocation.session)
            if session is None or session.state != OPEN or self.clock() >= session.expires_at:
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
            RunnerUnavailable: another broker has this call under way; ask again there.
            OutcomeUnstored: it counts, and could not be stored yet; it may be reported again.
        """
        opened = self.hub.find(name)
        if opened is None or opened.permit.call.invocation.agent != agent.subject:
            return await self._late(agent, name, token, report)
        call = opened.permit.call
        if not self.hub.is_of(opened, token):
            raise NotFound(_NO_PERMIT)
        meanwhile = await self._ended_meanwhile(call.invocation.session)
        if self.hub.find(name) is not opened:
            return await self._late(agent, name, token, report)  # it ended while that was read
        counted = self.hub.count(
            opened,
            _outcome(report, read_only=call.manifest.behaviour.read_only),
            said=_digest(report),
            meanwhile=meanwhile,
        )
        return Reported(invocation=await self._recorded(opened), counted=counted)

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

    async def _late(self, agent: Credential, name: str, token: str, report: Report) -> Reported:
        """Nobody waits for it any more: it is what was counted, or evidence, or nothing."""
        invocation = await self.invocations.find(agent, name)
        if invocation.runner != CALLER:
            raise NotFound(_NO_PERMIT)
        try:
            counted = self.hub.was_counted(name, token, _digest(report))
        except KeyError:
            raise NotFound(_NO_PERMIT) from None
        if counted:
            return Reported(invocation=await self._ended(agent, name), counted=True)
        if invocation.is_with_caller and counted is None:
            raise RunnerUnavailable("Another broker has this call under way.")
        await keep_late(
            self.store,
            invocation,
            at=self.clock(),
            actor=agent.subject,
            body={"reported_by": "agent", "permit": "known" if counted is False else "unknown"},
            outcome=_outcome(report, read_only=False),
        )
        return Reported(invocation=invocation, counted=False)

    async def _ended(self, agent: Credential, name: str) -> Invocation:
        """The call once what was counted is stored."""
        with contextlib.suppress(TimeoutError, StoreUnavailable):
            async with asyncio.timeout(limits.STORE_DEADLINE_S):
                async for invocation in self.invocations.watch(agent, name):
                    if not invocation.is_with_caller:
                        return invocation
        raise _unstored(name)


def _outcome(report: Report, *, read_only: bool) -> Outcome:
    """What a report means: FAILED is only what surely had no effect."""
    match report:
        case Succeeded():
            return report
        case Failed(code=code, message=message):
            # What a Person said of a call is not for its agent to say.
            return Failed(code=TOOL_FAILED if code == RECONCILED else code, message=message)
        case Raised(kind=kind):
            named = kind if _CLASS.fullmatch(kind) else "an error"
            if read_only:
                return Failed(code=TOOL_FAILED, message=f"The tool raised {named}.")
            return Lost(why=f"the tool raised {named}, the agent's process says")


def _digest(report: Report) -> bytes:
    """Two reports say the same where these are equal."""
    match report:
        case Succeeded(result_json=result):
            said = [b"succeeded", result]
        case Failed(code=code, message=message):
            said = [b"failed", code.encode(), message.encode()]
        case Raised(kind=kind):
            said = [b"raised", kind.encode()]
        case _:
            assert_never(report)
    return hashlib.sha256(b"\0".join(said)).digest()


def _unstored(name: str) -> OutcomeUnstored:
    return OutcomeUnstored(
        "It was executed, and its outcome could not be stored yet; do not execute it again.",
        metadata={"invocation": name},
    )
