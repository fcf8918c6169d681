"""Work is the broker's own, bounded for each caller and for all, and ends with the broker."""

import asyncio

import pytest
import structlog.testing

from broker.core.errors import Defect, LimitExceeded, OutcomeUnstored, RunnerUnavailable
from broker.own_work import OwnWork


async def test_a_caller_that_hangs_up_cancels_nothing():
    own, going, done = OwnWork(), asyncio.Event(), []

    async def work() -> None:
        await going.wait()
        done.append(True)

    waiting = asyncio.ensure_future(own.run(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    going.set()
    await asyncio.gather(*own.tasks)
    assert done == [True]
    assert not own.tasks


async def test_one_caller_has_its_share_and_the_others_have_theirs():
    own, going = OwnWork(tasks_max=3, share_max=2), asyncio.Event()
    waiting = [asyncio.ensure_future(own.run(going.wait(), share="a")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(LimitExceeded, match="A session"):
        await own.run(going.wait(), share="a")
    waiting.append(asyncio.ensure_future(own.run(going.wait(), share="b")))
    await asyncio.sleep(0)
    with pytest.raises(LimitExceeded, match="Too many"):
        await own.run(going.wait(), share="c")
    # What is no call still goes: a session ends and a hold is rejected however full it is.
    waiting.append(asyncio.ensure_future(own.run(going.wait())))
    await asyncio.sleep(0)
    going.set()
    await asyncio.gather(*waiting)
    assert await own.run(going.wait(), share="a")


async def test_nothing_begins_once_it_is_stopping():
    own, going, begun = OwnWork(), asyncio.Event(), []

    async def work() -> None:
        begun.append(True)

    waiting = asyncio.ensure_future(own.run(going.wait()))
    await asyncio.sleep(0)
    draining = asyncio.ensure_future(own.drain(within_s=5.0))
    await asyncio.sleep(0)
    with pytest.raises(RunnerUnavailable):
        await own.run(work())
    own.start(work())
    assert not draining.done()
    going.set()
    await draining
    assert await waiting
    assert begun == []


async def test_what_does_not_end_in_time_is_cancelled():
    own = OwnWork()
    waiting = asyncio.ensure_future(own.run(asyncio.Event().wait()))
    await asyncio.sleep(0)
    await own.drain(within_s=0.01)
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("error", [ValueError("broken"), Defect("broken")])
async def test_what_fails_while_nobody_waits_is_in_the_log(error: Exception):
    own = OwnWork()

    async def fail() -> None:
        raise error

    with structlog.testing.capture_logs() as said:
        own.start(fail())
        await asyncio.gather(*own.tasks, return_exceptions=True)
        await asyncio.sleep(0)
    assert [line["event"] for line in said] == ["work_failed"]


async def test_an_outcome_that_is_not_stored_is_told_by_its_call_and_in_one_line():
    """An outage of the database is no defect: at night a traceback for each call hides what is."""
    own = OwnWork()

    async def fail() -> None:
        raise OutcomeUnstored("Ended by somebody else.", metadata={"invocation": "invocations/1"})

    with structlog.testing.capture_logs() as said:
        own.start(fail())
        await asyncio.gather(*own.tasks, return_exceptions=True)
        await asyncio.sleep(0)
    (line,) = said
    assert "exc_info" not in line
    assert (line["event"], line["log_level"]) == ("outcome_unstored", "error")
    assert (line["why"], line["invocation"]) == ("Ended by somebody else.", "invocations/1")
