"""Units that are written together stand or fall alone."""

import asyncio

from broker.core.lifecycle import InvocationState
from broker.core.unit import AddInvocation, Conflict, Reserve, TakeKey
from broker.ports import InvocationQuery
from broker.store import SqlStore
from tests.store_values import NOW, entry, invocation, opened, unit

S = InvocationState


async def test_one_conflict_among_many_is_taken_out_alone(store: SqlStore):
    one = await opened(store)
    units = []
    for number in range(64):
        made = invocation(one, S.RUNNING)
        take = TakeKey(key=f"k{number}", version=1 if number == 40 else 0, invocation=made.name)
        units.append(unit(AddInvocation(invocation=made), take, entries=(entry(made),)))
    answers = await asyncio.gather(*(store.commit(each) for each in units), return_exceptions=True)
    assert [n for n, answer in enumerate(answers) if answer is not None] == [40]
    assert isinstance(answers[40], Conflict)
    assert (await store.counts()).running == 63
    assert (await store.counts()).audit_entries == 63


async def test_of_many_that_saw_the_same_version_one_wins(store: SqlStore):
    one = await opened(store)
    made = [invocation(one, S.RUNNING) for _ in range(32)]
    answers = await asyncio.gather(
        *(
            store.commit(
                unit(
                    AddInvocation(invocation=each),
                    Reserve(key="c", version=0, invocation=each.name, amount=1, at=NOW),
                )
            )
            for each in made
        ),
        return_exceptions=True,
    )
    assert sum(answer is None for answer in answers) == 1
    assert all(a is None or (isinstance(a, Conflict) and a.on == "counter") for a in answers)
    assert len(await store.list_invocations(InvocationQuery(page_size=99))) == 1
