"""An answer that nobody waits for changes nothing; it is kept for whoever settles the call.

It is kept only with a call of a tool that the worker may carry out, and only so much of it: neither
can a stranger write into the story of a call, nor a broken worker fill the log.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Invocation
from broker.core.canonical import content_digest
from broker.core.credentials import Credential
from broker.core.errors import StoreUnavailable
from broker.core.inspection import plain
from broker.core.previews import previewed
from broker.core.retention import RequireUnerased
from broker.core.unit import Conflict, Unit
from broker.fairness.queue import FairQueue, NoPlace, Places
from broker.ports import Clock, Failed, Lost, NeverStarted, Outcome, Store, Succeeded
from broker.tools.worker_messages import Answer

RESULT_CHARACTERS_MAX: Final = 64 * 1024
Entries = Sequence[Mapping[str, JsonValue]]

# Of one agent's calls one at a time: whoever counts what is there, and adds to it, is alone.
_TURNS: Final = Places(most=4, alone_max=1, crowd_max=1, waiting_max=64)

_log = structlog.get_logger(__name__)


class Evidence:
    """What comes late of this broker's calls: of one agent's in turn, so that each is counted."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Write into this store's log, at this clock's time (POSIX seconds)."""
        self._store = store
        self._clock = clock
        self._turns = FairQueue(_TURNS)

    async def keep_answer(self, answer: Answer, *, worker: str, credential: Credential) -> None:
        """Write a worker's late answer into the log, if it may carry the tool out.

        Args:
            answer: as it came.
            worker: the name of its stream.
            credential: which tools it may carry out.

        Raises:
            StoreUnavailable: ask again.
        """
        invocation = await self._store.find_invocation(answer.invocation)
        if invocation is None or previewed(invocation.call.tool) not in credential.tools:
            _log.warning("answer_of_a_stranger", worker=worker, invocation=answer.invocation)
            return
        await self.keep(
            invocation, answer.outcome, actor=credential.subject, body={"worker": worker}
        )

    async def keep(
        self,
        invocation: Invocation,
        outcome: Outcome,
        *,
        actor: str,
        body: Mapping[str, JsonValue],
        is_known: Callable[[Entries], bool] = lambda _: False,
    ) -> bool:
        """Write a late answer beside the call that it is of, unless there are enough of them.

        Args:
            invocation: of a tool that whoever answers may carry out.
            outcome: as it was said.
            actor: whose word it is.
            body: what the entry says of that besides.
            is_known: whether the call's entries say that it is not late, but came before.

        Returns:
            What `is_known` has said; then nothing is written.

        Raises:
            StoreUnavailable: ask again.
        """
        try:
            async with self._turns.place(invocation.agent, within_s=limits.STORE_DEADLINE_S):
                entries = await self._store.entries(invocation.name)
                if is_known(entries):
                    return True
                await self._add(invocation, outcome, entries, actor=actor, body=body)
        except NoPlace:
            raise StoreUnavailable("Too much comes late at once: say it again.") from None
        return False

    async def _add(
        self,
        invocation: Invocation,
        outcome: Outcome,
        entries: Entries,
        *,
        actor: str,
        body: Mapping[str, JsonValue],
    ) -> None:
        kept = sum(entry["kind"] == EntryKind.ATTEMPT_ANSWERED_LATE for entry in entries)
        if kept >= limits.LATE_ANSWERS_MAX:
            _log.warning("answer_not_kept", actor=actor, invocation=invocation.name)
            return
        entry = EntryDraft(
            kind=EntryKind.ATTEMPT_ANSWERED_LATE,
            at=self._clock(),
            actor=actor,
            invocation=invocation.name,
            session=invocation.session,
            body={**body, "outcome": type(outcome).__name__},
            contents=_evidence(outcome),
        )
        unerased = RequireUnerased(invocation=invocation.name)
        try:
            await self._store.commit(Unit(changes=(unerased,), entries=(entry,)))
        except Conflict:
            # Of an erased call nothing is erased again: what comes now would stay for ever.
            without = replace(entry, contents=None)
            await self._store.commit(Unit(changes=(), entries=(without,)))
        _log.warning("answer_kept_as_evidence", invocation=invocation.name)


def _evidence(outcome: Outcome) -> Mapping[str, JsonValue]:
    match outcome:
        case Succeeded(result_json=result):
            text = result.decode("utf-8", "replace")
            if len(text) <= RESULT_CHARACTERS_MAX:
                return {"result_json": text}
            begins = text[:RESULT_CHARACTERS_MAX]
            return {"result_json_begins": begins, "result_digest": content_digest(result)}
        case Failed(code=code, message=message):
            return {"code": plain(code), "message": plain(message)}
        case Lost(why=why) | NeverStarted(why=why):
            return {"why": plain(why)}
