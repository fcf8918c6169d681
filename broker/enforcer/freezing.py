"""Before stage 1: bytes become a frozen call, parsed once and strictly, or nothing at all.

The canonical form made here goes to policy, reviewer, tool and log; nobody parses again. Bytes that
are not one strict JSON object are no call: nothing is decided, and an entry says that it happened.
"""

from broker.core.arguments import MalformedJson, parse_object
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller, ToolCall
from broker.core.canonical import call_digest, canonical_bytes
from broker.core.errors import MalformedRequest
from broker.core.unit import Unit
from broker.ports import Store


async def freeze_call(
    store: Store,
    caller: Caller,
    *,
    request_id: str,
    tool: str,
    arguments_json: bytes,
    now: float,
) -> ToolCall:
    """The frozen call.

    Raises:
        MalformedRequest: the bytes are not one strict JSON object.
    """
    try:
        arguments = parse_object(arguments_json)
    except MalformedJson as malformed:
        entry = EntryDraft(
            kind=EntryKind.REQUEST_MALFORMED,
            at=now,
            actor=caller.agent.id,
            session=caller.session.name,
            body={
                "request_id": request_id,
                "code": malformed.code,
                "bytes": len(arguments_json),
            },
        )
        await store.commit(Unit(changes=(), entries=(entry,)))
        raise MalformedRequest(
            str(malformed),
            metadata={"field": "arguments_json", "code": malformed.code},
        ) from None
    return ToolCall(
        tool=tool,
        arguments=arguments,
        canonical=canonical_bytes(arguments),
        digest=call_digest(tool, arguments),
        request_id=request_id,
    )
