"""An answer that nobody waits for changes nothing; it is kept for whoever settles the call.

It is kept only with a call of a tool that the worker may carry out, and only so much of it: neither
can a stranger write into the story of a call, nor a broken worker fill the log.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog

from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Invocation
from broker.core.canonical import content_digest
from broker.core.credentials import Credential
from broker.core.inspection import plain
from broker.core.previews import previewed
from broker.core.retention import RequireUnerased
from broker.core.unit import Conflict, Unit
from broker.ports import Clock, Failed, Lost, NeverStarted, Outcome, Store, Succeeded
from broker.tools.worker_messages import Answer

RESULT_CHARACTERS_MAX: Final = 64 * 1024

_log = structlog.get_logger(__name__)


async def keep_as_evidence(
    store: Store,
    clock: Clock,
    *,
    worker: str,
    credential: Credential,
    answer: Answer,
) -> bool:
    """Write a late answer into the log.

    Args:
        store: of the log.
        clock: POSIX seconds.
        worker: the name of its stream.
        credential: which tools it may carry out.
        answer: as it came.

    Returns:
        Whether it was kept. It is of no use to anybody where it was not.

    Raises:
        StoreUnavailable: ask again.
    """
    invocation = await store.find_invocation(answer.invocation)
    if invocation is None or previewed(invocation.call.tool) not in credential.tools:
        _log.warning("answer_of_a_stranger", worker=worker, invocation=answer.invocation)
        return False
    return await keep_late(
        store,
        invocation,
        at=clock(),
        actor=credential.subject,
        body={"worker": worker},
        outcome=answer.outcome,
    )


async def keep_late(
    store: Store,
    invocation: Invocation,
    *,
    at: float,
    actor: str,
    body: Mapping[str, JsonValue],
    outcome: Outcome,
) -> bool:
    """Write a late answer beside the call that it is of, unless there are enough of them.

    Args:
        store: of the log.
        invocation: of a tool that whoever answers may carry out.
        at: POSIX seconds.
        actor: whose word it is.
        body: what the entry says of that besides.
        outcome: as it was said.

    Returns:
        Whether it was kept.

    Raises:
        StoreUnavailable: ask again.
    """
    entries = await store.entries(invocation.name)
    kept = sum(entry["kind"] == EntryKind.ATTEMPT_ANSWERED_LATE for entry in entries)
    if kept >= limits.LATE_ANSWERS_MAX:
        _log.warning("answer_not_kept", actor=actor, invocation=invocation.name)
        return False
    entry = EntryDraft(
        kind=EntryKind.ATTEMPT_ANSWERED_LATE,
        at=at,
        actor=actor,
        invocation=invocation.name,
        session=invocation.session,
        body={**body, "outcome": type(outcome).__name__},
        contents=_evidence(outcome),
    )
    unerased = RequireUnerased(invocation=invocation.name)
    try:
        await store.commit(Unit(changes=(unerased,), entries=(entry,)))
    except Conflict:
        # Of an erased call nothing is erased again: what comes now would stay for ever.
        await store.commit(Unit(changes=(), entries=(replace(entry, contents=None),)))
    _log.warning("answer_kept_as_evidence", invocation=invocation.name)
    return True


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
