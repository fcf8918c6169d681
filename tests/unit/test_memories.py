"""What sessions have seen is bounded in memory; what is given up is read again, and never lost."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from broker.core.calls import Caller, Context, Session
from broker.core.labels import Labels
from broker.core.provenance.effort import Effort
from broker.core.provenance.memory import Memory, Sighting
from broker.enforcer.memories import (
    AT_ONCE_BYTES_MAX,
    AT_ONCE_EFFORT_BYTES_MAX,
    MEMORIES_BYTES_MAX,
    Memories,
    Recalled,
)
from tests.world import world

UNTRUSTED = Labels(trust="untrusted", sensitivity="none")
LARGE = AT_ONCE_BYTES_MAX + 1  # bytes that are looked at in a thread


@pytest.fixture
async def caller(tmp_path) -> Caller:
    async with world(tmp_path) as w:
        return await w.caller(context=Context.MEDIATED)


def named(caller: Caller, name: str, *parents: str) -> Session:
    """A session like the caller's, of another name, that goes on from these."""
    ancestors = tuple((parent, Context.MEDIATED) for parent in parents)
    return replace(caller.session, name=name, ancestors=ancestors)


def sighting(position: int, text: str = "Pay XX99.") -> Sighting:
    return Sighting(
        position=position,
        invocation=f"invocations/{position}",
        labels=UNTRUSTED,
        content=f'"{text}"'.encode(),
    )


def store(*names: str, size: int = 1_000) -> Mapping[str, Sequence[Sighting]]:
    """What a store has of these sessions: one long text of strangers each."""
    return {name: [sighting(1, f"{name} {'x' * size}")] for name in names}


async def looked(memories: Memories, recalled: Recalled, seen: Mapping[str, Sequence[Sighting]]):
    return await memories.look(recalled, seen, lambda memory, _: memory.labels, size=0)


async def test_the_least_lately_used_is_given_up_once_all_together_are_too_large(caller):
    memories = Memories()
    for name in ("a", "b"):
        await looked(memories, memories.recall(named(caller, name)), store(name))
    assert memories.size == sum(memories.sizes.values()) > 2_000
    memories.bytes_most = memories.size
    memories.recall(named(caller, "a"))  # used again: b is now the one that nobody asks for
    await looked(memories, memories.recall(named(caller, "c")), store("c"))
    assert list(memories.kept) == ["a", "c"]
    assert memories.size == sum(memories.sizes.values()) <= memories.bytes_most
    assert memories.sizes.keys() == {"a", "c"}


async def test_what_was_given_up_is_read_from_the_store_again(caller):
    memories = Memories(bytes_most=1)
    for name in ("a", "b"):
        assert (
            await looked(memories, memories.recall(named(caller, name)), store(name)) == UNTRUSTED
        )
    again = memories.recall(named(caller, "a"))
    assert again.positions == {"a": 0}  # so the store is asked for all of it
    assert await looked(memories, again, store("a")) == UNTRUSTED
    assert list(memories.kept) == ["a"]


async def test_one_session_alone_is_kept_however_large_it_is(caller):
    memories = Memories(bytes_most=1)
    recalled = memories.recall(named(caller, "a"))
    await looked(memories, recalled, store("a"))
    assert memories.recall(named(caller, "a")) is recalled
    assert memories.size > memories.bytes_most


async def test_a_child_of_a_parent_that_was_given_up_begins_with_what_the_parent_saw(caller):
    memories = Memories(bytes_most=1)
    child = named(caller, "child", "parent")
    await looked(memories, memories.recall(child), store("parent"))
    await looked(memories, memories.recall(named(caller, "other")), store("other"))
    assert "parent" not in memories.kept
    recalled = memories.recall(child)
    assert recalled.positions == {"parent": 0, "child": 0}
    assert await looked(memories, recalled, store("parent")) == UNTRUSTED


async def test_so_many_sessions_are_kept_and_no_more(caller):
    memories = Memories(most=2)
    for name in ("a", "b", "c"):
        await looked(memories, memories.recall(named(caller, name)), {})
    assert list(memories.kept) == ["b", "c"]
    assert memories.size == 0


def test_the_bound_is_the_one_that_is_stated():
    assert Memories().bytes_most == MEMORIES_BYTES_MAX == 256 * 1024 * 1024


async def test_a_call_that_is_cancelled_while_its_trace_runs_waits_for_the_thread(caller):
    memories, begun, go = Memories(), threading.Event(), threading.Event()
    recalled = memories.recall(named(caller, "a"))

    def slow(_: Memory, __: Effort) -> None:
        begun.set()
        assert go.wait(10)

    tracing = asyncio.create_task(memories.look(recalled, {"a": [sighting(1)]}, slow, size=LARGE))
    assert await asyncio.to_thread(begun.wait, 10)
    tracing.cancel()
    next_one = asyncio.create_task(
        memories.look(
            recalled,
            {"a": [sighting(1), sighting(2)]},
            lambda memory, _: (memory.position, memory.labels),
            size=0,
        )
    )
    done, _ = await asyncio.wait([tracing, next_one], timeout=0.05)
    assert not done  # neither is the memory free, nor is it read by two at once
    go.set()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await tracing
        assert await next_one == (2, UNTRUSTED)


async def test_what_a_cancelled_trace_had_read_is_read_once(caller):
    memories, begun, go = Memories(), threading.Event(), threading.Event()
    recalled = memories.recall(named(caller, "a"))

    def slow(memory: Memory, _: Effort) -> int:
        begun.set()
        assert go.wait(10)
        return memory.size

    tracing = asyncio.create_task(memories.look(recalled, {"a": [sighting(1)]}, slow, size=LARGE))
    assert await asyncio.to_thread(begun.wait, 10)
    tracing.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await tracing
    size = recalled.memory.size
    assert await looked(memories, recalled, {"a": [sighting(1)]}) == UNTRUSTED
    assert (recalled.memory.size, recalled.memory.position) == (size, 1)


async def test_a_trace_that_fails_in_its_thread_leaves_the_session_to_the_next(caller):
    memories = Memories()
    recalled = memories.recall(named(caller, "a"))

    def failing(_: Memory, __: Effort) -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        await memories.look(recalled, {"a": [sighting(1)]}, failing, size=LARGE)
    async with asyncio.timeout(10):
        assert await looked(memories, recalled, {"a": [sighting(1)]}) == UNTRUSTED


@pytest.mark.parametrize(("read", "threads"), [(0, 1), (AT_ONCE_EFFORT_BYTES_MAX, 2)])
async def test_what_takes_much_effort_begins_again_beside_the_loop(
    caller: Caller, read: int, threads: int
):
    memories = Memories()
    recalled = memories.recall(named(caller, "a"))

    def look(memory: Memory, effort: Effort) -> tuple[int, int, bool]:
        effort.spend(read)
        return memory.position, threading.get_ident(), effort.is_spent

    position, thread, is_spent = await memories.look(recalled, {"a": [sighting(1)]}, look, size=0)
    assert (position, is_spent) == (1, False)
    assert len({thread, threading.get_ident()}) == threads
