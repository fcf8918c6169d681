"""Before stage 1: bytes become a frozen call, parsed once and strictly, or nothing at all.

The canonical form made here goes to policy, reviewer, tool and log; nobody parses again. Bytes that
are not one strict JSON object are no call: nothing is decided, and an entry says that it happened.
Results that the arguments name by handle are put in first. A handle that stands for nothing makes a
call all the same, frozen as it was asked, and a reason to refuse it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from broker.core.arguments import JsonValue, MalformedJson, parse_object, parse_value
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller, ToolCall
from broker.core.decision import STAGE_SCREEN, Effect, Verdict
from broker.core.errors import MalformedRequest
from broker.core.handles import HandleRefused, named_results, with_results
from broker.core.limits import RESULT_BYTES_MAX
from broker.ports import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A call, once and for all.

    Attributes:
        call: with the results that it names in place; as it was asked where there are none.
        asked_digest: of the call with its handles, as it was asked.
        refusal: why the handles stand for nothing.
    """

    call: ToolCall
    asked_digest: str
    refusal: Verdict | None = None


async def freeze_call(
    store: Store,
    caller: Caller,
    *,
    request_id: str,
    tool: str,
    arguments_json: bytes,
    now: float,
    note: Callable[[EntryDraft], Awaitable[None]],
) -> Frozen:
    """The frozen call; `note` writes down what is none.

    Raises:
        MalformedRequest: the bytes are not one strict JSON object.
        StoreUnavailable: whether a result is there is not known.
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
        await note(entry)
        raise MalformedRequest(
            str(malformed),
            metadata={"field": "arguments_json", "code": malformed.code},
        ) from None
    asked = ToolCall.of(tool, arguments, request_id)
    try:
        names = named_results(arguments)
        if not names:
            return Frozen(call=asked, asked_digest=asked.digest)
        released = await _released(store, caller.session.name, names)
        # Megabytes perhaps: not on the loop.
        put_in = await asyncio.to_thread(_with_released, arguments, released)
    except HandleRefused as refused:
        refusal = Verdict(
            effect=Effect.DENY, stage=STAGE_SCREEN, code=refused.code, message=str(refused)
        )
        return Frozen(call=asked, asked_digest=asked.digest, refusal=refusal)
    return Frozen(call=ToolCall.of(tool, put_in, request_id), asked_digest=asked.digest)


async def _released(store: Store, session: str, names: tuple[str, ...]) -> Mapping[str, bytes]:
    """Results, by invocation, of those of this session alone that were released."""
    found = [await store.find_invocation(name) for name in names]
    return {
        one.name: one.result
        for one in found
        if one is not None
        and one.session == session
        and one.result is not None
        and not one.is_preview
    }


def _with_released(
    arguments: Mapping[str, JsonValue], released: Mapping[str, bytes]
) -> dict[str, JsonValue]:
    results = {
        name: parse_value(result, bytes_max=RESULT_BYTES_MAX) for name, result in released.items()
    }
    return with_results(arguments, results)
