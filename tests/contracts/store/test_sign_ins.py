"""A sign-in is there until it ends; a step-up is for one hold as it was, and good once."""

import dataclasses

import pytest

from broker.core.calls import Person
from broker.core.holds import Reviewer
from broker.core.sign_ins import (
    AddSignIn,
    AddStepUp,
    DropSignIns,
    EndSignIn,
    SignIn,
    SpendStepUp,
    StepUp,
    TouchSignIn,
)
from broker.core.unit import Change, Conflict, Unit
from broker.store import SqlStore
from tests.store_values import NOW

LEAD = SignIn(
    digest=b"1" * 32,
    reviewer=Reviewer(
        name="Lead",
        person=Person(issuer="https://login.example.com", subject="7"),
        groups=("leads", "finance"),
    ),
    how="oidc",
    created_at=NOW,
    expires_at=NOW + 100,
    idle_expires_at=NOW + 10,
)
SHOWN = StepUp(
    sign_in=LEAD.digest,
    hold="holds/h",
    etag=3,
    call_digest="sha256:aa",
    created_at=NOW,
    expires_at=NOW + 60,
)
SPENT = SpendStepUp(
    sign_in=LEAD.digest, hold="holds/h", etag=3, call_digest="sha256:aa", at=NOW + 59
)


async def commit(store: SqlStore, *changes: Change) -> None:
    await store.commit(Unit(changes=changes, entries=()))


async def test_a_sign_in_is_found_as_it_was_and_its_digest_is_taken(store: SqlStore):
    await commit(store, AddSignIn(sign_in=LEAD))

    assert await store.find_sign_in(LEAD.digest) == LEAD
    assert await store.find_sign_in(b"2" * 32) is None
    with pytest.raises(Conflict):
        await commit(store, AddSignIn(sign_in=LEAD))


async def test_a_sign_in_that_has_ended_is_not_touched_back_to_life(store: SqlStore):
    await commit(store, AddSignIn(sign_in=LEAD))
    touched = TouchSignIn(digest=LEAD.digest, idle_expires_at=NOW + 50)
    await commit(store, touched)
    assert (await store.find_sign_in(LEAD.digest)).idle_expires_at == NOW + 50

    await commit(store, EndSignIn(digest=LEAD.digest))

    assert await store.find_sign_in(LEAD.digest) is None
    with pytest.raises(Conflict):
        await commit(store, touched)


async def test_what_is_over_is_erased_and_the_rest_stays(store: SqlStore):
    idle = dataclasses.replace(LEAD, digest=b"2" * 32)
    awake = dataclasses.replace(LEAD, digest=b"3" * 32, idle_expires_at=NOW + 40)
    for one in (idle, awake):
        await commit(store, AddSignIn(sign_in=one))

    await commit(store, DropSignIns(expired_at=NOW + 10))

    assert [one.digest for one in await store.list_sign_ins()] == [awake.digest]


async def test_a_step_up_is_spent_once(store: SqlStore):
    await commit(store, AddStepUp(step_up=SHOWN))
    assert await store.find_step_up(LEAD.digest, "holds/h") == SHOWN

    await commit(store, SPENT)

    assert await store.find_step_up(LEAD.digest, "holds/h") is None
    with pytest.raises(Conflict):
        await commit(store, SPENT)


@pytest.mark.parametrize(
    "other",
    [
        {"sign_in": b"2" * 32},
        {"hold": "holds/i"},
        {"etag": 4},
        {"call_digest": "sha256:bb"},
        {"at": NOW + 60},
    ],
)
async def test_a_step_up_is_for_one_sign_in_one_hold_as_it_was_and_a_while(store: SqlStore, other):
    await commit(store, AddStepUp(step_up=SHOWN))

    with pytest.raises(Conflict):
        await commit(store, dataclasses.replace(SPENT, **other))

    assert await store.find_step_up(LEAD.digest, "holds/h") == SHOWN


async def test_step_ups_end_with_their_sign_in_and_a_newer_one_replaces_an_older(store: SqlStore):
    await commit(store, AddSignIn(sign_in=LEAD))
    await commit(store, AddStepUp(step_up=SHOWN))
    newer = dataclasses.replace(SHOWN, etag=4)
    await commit(store, AddStepUp(step_up=newer))
    assert await store.find_step_up(LEAD.digest, "holds/h") == newer

    await commit(store, EndSignIn(digest=LEAD.digest))

    assert await store.find_step_up(LEAD.digest, "holds/h") is None
