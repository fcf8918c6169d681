"""An answer that nobody waits for changes nothing; it is kept for whoever settles the call.

It is kept only with a call of a tool that the worker may carry out, and only so much of it: neither
can a stranger write into the story of a call, nor a broken worker fill the log.
"""

from collections.abc import Mapping
from typing import Final

import structlog

from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.canonical import content_digest
from broker.core.credentials import Credential
from broker.core.inspection import plain
from broker.core.previews import previewed
from broker.core.unit import Unit
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
    entries = await store.entries(invocation.name)
    kept = sum(entry["kind"] == EntryKind.ATTEMPT_ANSWERED_LATE for entry in entries)
    if kept >= limits.LATE_ANSWERS_MAX:
        _log.warning("answer_not_kept", worker=worker, invocation=invocation.name)
        return False
    entry = EntryDraft(
        kind=EntryKind.ATTEMPT_ANSWERED_LATE,
        at=clock(),
        actor=credential.subject,
        invocation=invocation.name,
        session=invocation.session,
        body={"worker": worker, "outcome": type(answer.outcome).__name__},
        contents=_evidence(answer.outcome),
    )
    await store.commit(Unit(changes=(), entries=(entry,)))
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
