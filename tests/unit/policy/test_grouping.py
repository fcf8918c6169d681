"""Who is asked with whom, and what comes of a group that fails; the engine is a fake."""

import asyncio
import contextlib

import pytest

from broker.core.errors import PolicyUnavailable
from broker.policy import company, grouping
from broker.policy.grouping import Grouping
from broker.policy.opinion import denied
from tests.fakes.decision_point import allow, opinion

KEY = ("tool", "agents/a")


class FakeAsks:
    """Implements `grouping.Asks`: `log` has what was asked together, `gate` lets it be answered."""

    def __init__(self):
        self.log = []
        self.gate = asyncio.Event()
        self.stopped = []
        self.away = False

    async def one(self, question):
        self.log.append([question])
        await self._pass([question])
        if question.startswith(b"err"):
            return denied("POLICY_ERROR", revision="r")
        return opinion(allow(f"A{question.decode().upper()}"), revision="r")

    async def many(self, questions):
        self.log.append(list(questions))
        await self._pass(questions)
        if any(question.startswith(b"err") for question in questions):
            return None
        return [opinion(allow(f"A{q.decode().upper()}"), revision="r") for q in questions]

    async def _pass(self, questions):
        try:
            if any(question.startswith(b"slow") for question in questions):
                await asyncio.Event().wait()
            await self.gate.wait()
        except asyncio.CancelledError:
            self.stopped.append(list(questions))
            raise
        if self.away:
            raise PolicyUnavailable("Policy cannot be asked now.")


def made(*, places=1, deadline_s=5.0):
    asks = FakeAsks()
    return asks, Grouping(asks=asks, revision="r", places=places, deadline_s=deadline_s)


def begun(group, *questions, key=KEY, deadline_s=5.0):
    return [
        asyncio.ensure_future(group.ask(question, key=key, deadline_s=deadline_s))
        for question in questions
    ]


async def settled():
    """Everything that can go on without the engine has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def codes(tasks):
    return [(await task).verdicts[0].code for task in tasks]


async def until(wanted):
    async with asyncio.timeout(5):
        while not wanted():
            await asyncio.sleep(0.001)


async def test_alone_a_question_goes_at_once():
    asks, group = made()
    tasks = begun(group, b"a")
    await settled()
    assert asks.log == [[b"a"]]
    asks.gate.set()
    assert await codes(tasks) == ["AA"]


async def test_as_many_go_alone_as_there_are_places_and_the_rest_together():
    asks, group = made(places=2)
    tasks = begun(group, b"a", b"b", b"c", b"d", b"e")
    await settled()
    assert asks.log == [[b"a"], [b"b"]]
    asks.gate.set()
    assert await codes(tasks) == ["AA", "AB", "AC", "AD", "AE"]
    assert asks.log[2:] == [[b"c", b"d", b"e"]]


async def test_a_group_is_bounded_in_questions_and_in_bytes(monkeypatch):
    monkeypatch.setattr(grouping, "GROUP_QUESTIONS_MAX", 3)
    monkeypatch.setattr(grouping, "GROUP_BYTES_MAX", 5)
    asks, group = made()
    tasks = begun(group, b"a", b"b", b"c", b"d", b"eeee", b"ff", b"gggggggg", b"h")
    asks.gate.set()
    await asyncio.gather(*tasks)
    assert asks.log == [[b"a"], [b"b", b"c", b"d"], [b"eeee"], [b"ff"], [b"gggggggg"], [b"h"]]


async def told(group, question, key=KEY):
    with company.told() as together:
        await group.ask(question, key=key, deadline_s=5.0)
    return together.questions, together.rounds


async def test_each_question_tells_with_how_many_it_was_asked_and_how_often():
    asks, group = made()
    tasks = [asyncio.ensure_future(told(group, question)) for question in (b"a", b"b", b"c")]
    await settled()
    asks.gate.set()
    assert await asyncio.gather(*tasks) == [(1, 1), (2, 1), (2, 1)]


async def test_a_question_of_a_spoilt_group_tells_that_it_was_asked_again():
    asks, group = made()
    asks.gate.set()
    theirs = ("tool", "agents/b")
    asking = (told(group, b"a"), told(group, b"b"), told(group, b"err", theirs))
    assert await asyncio.gather(*asking) == [(1, 1), (1, 2), (1, 2)]


async def test_a_group_that_errs_is_asked_again_one_by_one_and_who_erred_stays_apart():
    asks, group = made()
    asks.gate.set()
    theirs = ("tool", "agents/b")
    tasks = [*begun(group, b"a", b"b"), *begun(group, b"err1", key=theirs), *begun(group, b"c")]
    assert await codes(tasks) == ["AA", "AB", "POLICY_ERROR", "AC"]
    assert asks.log == [[b"a"], [b"b", b"err1", b"c"], [b"b"], [b"err1"], [b"c"]]
    asks.log.clear()
    tasks = [*begun(group, b"d", b"e"), *begun(group, b"err2", key=theirs), *begun(group, b"f")]
    assert await codes(tasks) == ["AD", "AE", "POLICY_ERROR", "AF"]
    assert sorted(asks.log) == [[b"d"], [b"e", b"f"], [b"err2"]]


async def test_who_answers_quickly_for_long_enough_is_no_longer_apart():
    asks, group = made()
    asks.gate.set()
    await asyncio.gather(*begun(group, b"err"))
    for _ in range(grouping.QUICK_ANSWERS):
        await asyncio.gather(*begun(group, b"x"))
    asks.log.clear()
    await asyncio.gather(*begun(group, b"a", b"b", b"c"))
    assert asks.log == [[b"a"], [b"b", b"c"]]


async def test_a_slow_one_costs_one_regroup_and_then_holds_nobodys_place():
    asks, group = made(deadline_s=0.05)
    asks.gate.set()
    theirs = ("tool", "agents/b")
    first = begun(group, b"a", b"b")
    slow = begun(group, b"slow1", b"slow2", key=theirs)
    first += begun(group, b"c")
    assert await codes(first) == ["AA", "AB", "AC"]
    assert asks.log[:3] == [[b"a"], [b"b", b"slow1", b"slow2", b"c"], [b"b"]]
    # Whoever was with it has an answer; it is alone and under way, and takes nobody's place.
    await until(lambda: [b"slow1"] in asks.log and [b"c"] in asks.log)
    await until(lambda: not group._under_way)
    asks.log.clear()
    slow += begun(group, b"slow3", key=theirs)
    assert await codes(begun(group, b"d", b"e", b"f")) == ["AD", "AE", "AF"]
    assert asks.log == [[b"d"], [b"e", b"f"]]
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_on_a_machine_that_is_busy_all_over_a_group_has_more_time_but_not_for_ever():
    asks, group = made(deadline_s=0.05)
    group._usual_s = 0.1
    tasks = begun(group, b"slow")
    await settled()
    assert asks.log == [[b"slow"]]
    (under_way,) = group._under_way
    assert under_way.timer.when() - under_way.begun_s == pytest.approx(4 * 0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_calls_own_deadline_holds_whatever_the_group_does():
    asks, group = made()
    tasks = begun(group, b"a", b"b", b"c", deadline_s=0.05)
    assert await codes(tasks) == ["POLICY_LATE"] * 3
    await settled()
    assert asks.stopped == [[b"a"]]
    assert asks.log == [[b"a"]]


async def test_what_nobody_waits_for_is_stopped_and_what_somebody_does_goes_on():
    asks, group = made()
    first, second, third = begun(group, b"a", b"b", b"c")
    await settled()
    first.cancel()
    await settled()
    assert asks.stopped == [[b"a"]]
    assert asks.log == [[b"a"], [b"b", b"c"]]
    second.cancel()
    await settled()
    assert asks.stopped == [[b"a"]]
    asks.gate.set()
    assert await codes([third]) == ["AC"]


async def test_where_nobody_is_there_nothing_is_decided_for_any_of_a_group():
    asks, group = made()
    tasks = begun(group, b"a", b"b", b"c")
    asks.away = True
    asks.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in found] == [PolicyUnavailable] * 3
    assert len({id(error) for error in found}) == 3


async def test_once_closed_nothing_is_decided():
    asks, group = made()
    tasks = begun(group, b"a", b"b", b"c")
    await settled()
    group.close()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in found] == [PolicyUnavailable] * 3
    assert asks.stopped == [[b"a"]]
    with pytest.raises(PolicyUnavailable):
        await group.ask(b"d", key=KEY, deadline_s=1)


async def test_those_who_are_apart_have_their_turns_by_key():
    asks, group = made(deadline_s=5)
    asks.gate.set()
    b, c = ("tool", "agents/b"), ("tool", "agents/c")
    await asyncio.gather(*begun(group, b"err", key=b), *begun(group, b"err", key=c))
    asks.gate.clear()
    asks.log.clear()
    tasks = [*begun(group, b"b1", b"b2", b"b3", key=b), *begun(group, b"c1", key=c)]
    await settled()
    asks.gate.set()
    await asyncio.gather(*tasks)
    assert asks.log == [[b"b1"], [b"c1"], [b"b2"], [b"b3"]]


async def test_the_list_of_suspects_is_bounded(monkeypatch):
    monkeypatch.setattr(grouping, "SUSPECTS_MAX", 3)
    asks, group = made()
    asks.gate.set()
    for number in range(5):
        with contextlib.suppress(PolicyUnavailable):
            await asyncio.gather(*begun(group, b"err", key=("tool", str(number))))
    assert [agent for _, agent in group._suspects] == ["2", "3", "4"]
