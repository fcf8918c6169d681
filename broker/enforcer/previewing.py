"""Before a call waits, its tool is asked what it would change; before it runs, once more.

The question is an invocation of its own: decided by every stage, recorded, audited and carried out
like any other, under the scopes of the session that it is for. It has no effect, so it waits for
nobody, and whatever keeps it from an answer is told in the answer's place. The approval is for the
answer that was shown: another one sends the hold back, and none at all lets nothing run.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from broker.core.calls import Caller, Invocation, ToolCall
from broker.core.canonical import call_digest, content_digest
from broker.core.decision import STAGE_SETTLE, Effect, Verdict, settle
from broker.core.errors import DependencyError, OutcomeUnstored
from broker.core.holds import Hold, Requirement, needed_again
from broker.core.lifecycle import InvocationState
from broker.core.plan import Run, Suspend, make_plan
from broker.core.previews import PREVIEW_CHANGED, PREVIEW_HELD, PREVIEW_SUFFIX, Preview
from broker.core.unit import Conflict, ConflictOn
from broker.enforcer.committing import Committer, Patience, Recorded
from broker.enforcer.deciding import Considered, Decider
from broker.enforcer.recording import record_preview
from broker.ports import Clock, IdFactory

_CONTENDED: Final = "CONTENDED"
_NOT_HELD: Final = Verdict(
    effect=Effect.DENY,
    stage=STAGE_SETTLE,
    code=PREVIEW_HELD,
    message="A preview waits for nobody, and policy would have a person decide on it.",
)
_LOOK_NOT_HELD: Final = replace(
    _NOT_HELD,
    code="RECONCILE_HELD",
    message="Asking what became of a call waits for nobody, and policy would have it wait.",
)
_CHANGED: Final = "What this call would change is not any more what was approved."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How a question is told from others: in the log, and where policy would have it wait."""

    relation: str
    not_held: Verdict


_PREVIEW: Final = _Way(relation="preview_of", not_held=_NOT_HELD)
_LOOK: Final = _Way(relation="reconcile_of", not_held=_LOOK_NOT_HELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The tool must be asked before this can be recorded.

    Attributes:
        keys: version of each exclusive key as it was then. Where one has moved since, something
            else has had its effect on the same thing, and the answer may be from before that.
    """

    keys: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the tool said, while the keys had these versions."""

    preview: Preview
    keys: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewing:
    """Asks tools what calls of them would change."""

    decider: Decider
    committer: Committer
    clock: Clock
    ids: IdFactory

    async def ask(self, call: ToolCall, caller: Caller, *, of: str) -> Preview:
        """Ask; whatever comes of it is an answer.

        Args:
            call: the one that waits, or is to run.
            caller: for whom and through whom.
            of: the name of its invocation, for the log.

        Returns:
            What the tool said; or `error`, why it said nothing. It takes the preview's deadline
            and a little longer.
        """
        name, at = f"invocations/{self.ids()}", self.clock()
        tool = f"{call.tool}{PREVIEW_SUFFIX}"
        digest = call_digest(tool, dict(call.arguments))
        asked = replace(call, tool=tool, digest=digest, request_id=name)
        try:
            ended = await self._asked(asked, caller, _PREVIEW, of=of, at=at)
            if ended is None:
                return Preview(invocation="", error=_CONTENDED, at=at)
        except DependencyError as away:
            return Preview(invocation="", error=away.reason, at=at)
        except OutcomeUnstored as unstored:
            return Preview(invocation=name, error=unstored.reason, at=at)
        return _answered(ended, at=at)

    async def look(self, call: ToolCall, caller: Caller, *, of: str) -> Invocation | None:
        """Ask a tool that only reads, in the same way, what became of a call.

        Args:
            call: of that tool; its request id is not used.
            caller: for whom and through whom.
            of: the name of the invocation that it is about, for the log.

        Returns:
            The question's own invocation as it ended; None where too much moved.

        Raises:
            DependencyError: a part is away; it was not asked.
            OutcomeUnstored: what it said could not be stored.
        """
        asked = replace(call, request_id=f"invocations/{self.ids()}")
        return await self._asked(asked, caller, _LOOK, of=of, at=self.clock())

    async def _asked(
        self, call: ToolCall, caller: Caller, way: "_Way", *, of: str, at: float
    ) -> Invocation | None:
        asking = replace(caller, credential="broker")
        recorded = await self._record(call, asking, way, of=of, at=at)
        return None if recorded is None else await self.committer.follow(recorded, asking)

    async def _record(
        self, call: ToolCall, caller: Caller, way: "_Way", *, of: str, at: float
    ) -> Recorded | None:
        patience = Patience()
        is_preview = way is _PREVIEW
        while patience.is_left:
            considered = patience.eased(
                await self.decider.consider(call, caller, is_preview=is_preview)
            )
            if isinstance(considered.plan, Suspend):
                verdicts = (*considered.plan.decision.verdicts, way.not_held)
                considered = replace(considered, plan=make_plan(settle(verdicts)))
            make = functools.partial(
                record_preview, call, caller, considered, of=of, relation=way.relation
            )
            try:
                return await self.committer.record(considered, at, make)
            except Conflict as conflict:
                if conflict.on is ConflictOn.SESSION:
                    return None  # it is over, as its call will find
                patience.tried(conflict)
                await self.committer.look_again(conflict, caller)
        return None


def must_be_asked(considered: Considered, hold: Hold | None = None) -> bool:
    """Whether the tool is asked before this is recorded.

    Args:
        considered: what is to be recorded.
        hold: the approved one that is taken up again, if one is. What its reviewers were told is
            asked again; where they were told nothing, they said yes to that.
    """
    if isinstance(considered.plan, Suspend):
        return considered.tool is not None and considered.tool.preview is not None
    was_told = hold is not None and hold.preview is not None and bool(hold.preview.digest)
    return isinstance(considered.plan, Run) and considered.lifted and was_told


def changed(requirements: Sequence[Requirement]) -> tuple[Verdict, ...]:
    """Whom the call waited for, it waits for again: they said yes to something else."""
    return needed_again(requirements, code=PREVIEW_CHANGED, message=_CHANGED)


def _answered(ended: Invocation, *, at: float) -> Preview:
    if ended.state is InvocationState.SUCCEEDED and ended.result is not None:
        return Preview(
            invocation=ended.name,
            content=ended.result,
            digest=content_digest(ended.result),
            at=at,
        )
    code = ended.code
    if ended.state is InvocationState.DENIED and ended.decision is not None:
        code = ended.decision.reasons[0].code  # reviewers may know what callers may not
    return Preview(invocation=ended.name, error=code or ended.state.value, at=at)
