"""Attacks by way of a child: a session that goes on from another begins with what that one saw."""

from pathlib import Path

import pytest

from broker.core.calls import Caller, Context
from broker.core.errors import LimitExceeded, NotFound
from broker.core.limits import SESSION_ANCESTORS_MAX
from broker.core.provenance.origins import TRUSTED
from tests.strangers import EVIL, answer, ask, mediated, office
from tests.world import World, build


async def child_of(w: World, parent: Caller, **given: str) -> Caller:
    return await w.caller(context=Context.MEDIATED, parent=parent.session.name, **given)


async def source_of(w: World, caller: Caller, value: str) -> str:
    await ask(w, caller, "pay", to=value)
    return str(w.policy.asked[-1]["provenance"]["/to"]["source"])  # type: ignore[index,call-overload]


async def test_a_child_has_read_what_its_parents_read(tmp_path: Path):
    """Read the mail in one session, and have a fresh one write the account down and pay to it."""
    async with office(tmp_path) as w:
        parent = await mediated(w)
        await ask(w, parent, "read_plain_mail")
        child = await child_of(w, await child_of(w, parent))
        await ask(w, child, "echo", note=EVIL)
        assert await source_of(w, child, EVIL) not in TRUSTED
        session = w.policy.asked[-1]["session"]
        assert isinstance(session, dict)
        assert session["labels"] == ["untrusted"]


async def test_what_a_parent_reads_later_counts_by_any_broker(tmp_path: Path):
    """Open the child first, and read the mail then; ask another broker."""
    async with office(tmp_path) as w:
        parent = await mediated(w)
        child = await child_of(w, parent)
        assert await source_of(w, child, EVIL) == "unseen"
        await ask(w, parent, "read_plain_mail")
        other = await build(w.store, w.clock, owner="brokers/2")
        other.runner.effect, other.requests = answer, 100
        assert await source_of(w, child, EVIL) == "untrusted_result"
        assert await source_of(other, child, EVIL) == "untrusted_result"
        await other.own.drain(within_s=5)


async def test_a_child_has_what_was_trusted_too_and_no_sister_has(tmp_path: Path):
    """(The other side: an account that a trusted tool gave the parent is trusted in the child.)"""
    async with office(tmp_path) as w:
        parent = await mediated(w)
        await ask(w, parent, "echo", note="ACC-000123")
        assert await source_of(w, await child_of(w, parent), "ACC-000123") == "trusted_result"
        assert await source_of(w, await mediated(w), "ACC-000123") == "unseen"


async def test_a_session_of_somebody_else_is_no_parent(tmp_path: Path):
    """Name the session of another principal as the parent, to learn what it has seen."""
    async with office(tmp_path) as w:
        parent = await mediated(w)
        with pytest.raises(NotFound):
            await child_of(w, parent, principal="customers/c-9")
        with pytest.raises(NotFound):
            await w.caller(parent=f"sessions/{w.ids()}")


async def test_a_line_of_sessions_is_bounded(tmp_path: Path):
    """Have each session open the next, so that each call looks through them all."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        for _ in range(SESSION_ANCESTORS_MAX):
            caller = await child_of(w, caller)
        with pytest.raises(LimitExceeded):
            await child_of(w, caller)
