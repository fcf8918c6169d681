"""Decisions are read back from the log as they were recorded, newest call first, page by page."""

import dataclasses

from broker.core.audit import EntryKind
from broker.core.decision import Effect
from broker.core.lifecycle import InvocationState
from broker.core.recorded import RecordedDecision, verdict_record
from broker.core.unit import AddInvocation
from broker.ids import UuidFactory
from broker.ports import DecisionQuery
from broker.store import SqlStore
from tests.store_values import DECISION, NOW, call, entry, invocation, opened, unit

QUESTION = {"version": 1, "call": {"arguments": {"note": "\N{SNOWMAN}"}}}


async def decided(store: SqlStore, *, at: float, tool: str = "refund", **changes) -> str:
    """Record a call that was held, and some of what came after; its name."""
    session = await opened(store)
    name = f"invocations/{UuidFactory(lambda: at)()}"
    asked = dataclasses.replace(call(), tool=tool)
    held = invocation(session, InvocationState.HELD, name=name, call=asked)
    told = entry(
        held,
        at=at,
        body={
            "tool": tool,
            "digest": held.call.digest,
            "tool_revision": "sha256:t",
            "policy_revision": "sha256:p",
            "effect": "HOLD",
            "verdicts": [verdict_record(v) for v in DECISION.verdicts],
            "obligations": [{"kind": "redact", "family": "mail"}],
        },
        contents={"summary": "Refund", "question": QUESTION},
    )
    told = dataclasses.replace(told, **changes)
    after = entry(held, kind=EntryKind.CALL_ENDED, contents={"result": "x" * 1_000})
    await store.commit(unit(AddInvocation(invocation=held), entries=(told, after)))
    return name


async def pages(store: SqlStore, size: int, **query) -> list[list[RecordedDecision]]:
    found: list[list[RecordedDecision]] = []
    before = ""
    while page := await store.list_decisions(
        DecisionQuery(**{"bytes_max": 1_000_000, "page_size": size, "before": before, **query})
    ):
        found.append(list(page))
        before = f"{page[-1].invocation} {page[-1].entry}"
    return found


async def test_a_decision_is_read_back_with_its_question_and_every_verdict(store: SqlStore):
    name = await decided(store, at=NOW)
    [found] = await store.decisions_of(name)
    assert found == RecordedDecision(
        entry=found.entry,
        invocation=name,
        at=NOW,
        tool="refund",
        tool_revision="sha256:t",
        policy_revision="sha256:p",
        effect=Effect.HOLD,
        verdicts=tuple(
            dataclasses.replace(verdict, concealed=False) for verdict in DECISION.verdicts
        ),
        obligations=(dataclasses.replace(DECISION.obligations[0], parameters={}),),
        summary="Refund",
        digest=call().digest,
        question=QUESTION,
        arguments=QUESTION["call"]["arguments"],
    )
    [[listed]] = await pages(store, 10)
    assert listed == found


async def test_no_such_call_has_no_decision(store: SqlStore):
    assert list(await store.decisions_of("invocations/none")) == []
    assert await pages(store, 10) == []


async def test_pages_are_newest_first_and_nothing_is_twice_or_missing(store: SqlStore):
    names = [await decided(store, at=NOW + i) for i in range(7)]
    found = await pages(store, 3)
    assert [len(page) for page in found] == [3, 3, 1]
    assert [d.invocation for page in found for d in page] == names[::-1]


async def test_a_call_that_was_decided_twice_is_there_twice(store: SqlStore):
    name = await decided(store, at=NOW)
    [first] = await store.decisions_of(name)
    again = await store.entries(name)
    await store.commit(
        unit(
            entries=(
                dataclasses.replace(
                    entry(at=NOW + 60), invocation=name, body=again[0]["body"], contents=None
                ),
            )
        )
    )
    found = [decision for page in await pages(store, 1) for decision in page]
    assert [d.at for d in found] == [NOW + 60, NOW]
    assert found[1] == first
    assert (found[0].question, found[0].is_erased) == (None, True)


async def test_a_page_is_bounded_in_bytes_and_has_one_at_least(store: SqlStore):
    names = [await decided(store, at=NOW + i) for i in range(3)]
    found = await pages(store, 10, bytes_max=1)
    assert [[d.invocation for d in page] for page in found] == [[name] for name in names[::-1]]


async def test_tool_and_time_narrow_the_list(store: SqlStore):
    old = await decided(store, at=NOW)
    mail = await decided(store, at=NOW + 10, tool="send_mail")
    new = await decided(store, at=NOW + 20)

    async def listed(**query) -> list[str]:
        return [d.invocation for page in await pages(store, 10, **query) for d in page]

    assert await listed(tool="send_mail") == [mail]
    assert await listed(tool="refund") == [new, old]
    assert await listed(since=NOW + 10) == [new, mail]
    assert await listed(until=NOW + 10) == [old]
    assert await listed(since=NOW + 5, until=NOW + 15) == [mail]
    assert await listed(tool="none") == []
