"""A mandate is redeemed once and in time; a session ends once, and words are never lost."""

import dataclasses

import pytest

from broker.core.unit import (
    AddMandate,
    AppendWords,
    ConflictOn,
    EndSession,
    RedeemMandate,
    RevokeMandate,
    TouchSession,
)
from broker.store import SqlStore
from tests.store_values import NOW, mandate, name_of, opened, refused, session, unit


async def test_a_mandate_and_its_session_are_read_back_as_they_were_written(store: SqlStore):
    ordered = session()
    await store.commit(unit(AddMandate(mandate=mandate(ordered))))
    assert await store.find_mandate(name=ordered.mandate) == mandate(ordered)
    secret = mandate(ordered).secret_digest
    assert await store.find_mandate(secret_digest=secret) == mandate(ordered)
    assert await store.session_of_mandate(ordered.mandate) is None
    await store.commit(unit(RedeemMandate(name=ordered.mandate, at=NOW, session=ordered)))
    assert await store.find_session(ordered.name) == ordered
    assert await store.session_of_mandate(ordered.mandate) == ordered
    assert await store.find_mandate(name=ordered.mandate) == mandate(ordered)


async def test_what_was_never_written_is_none(store: SqlStore):
    assert await store.find_mandate(name="mandates/x") is None
    assert await store.find_mandate(secret_digest=b"x") is None
    assert await store.find_session("sessions/x") is None
    assert await store.session_of_mandate("mandates/x") is None
    assert await store.find_invocation("invocations/x") is None
    assert await store.find_request("sessions/x", "1") is None
    assert await store.find_hold("holds/x") is None
    assert await store.document("sha256:x") is None
    assert await store.entries("invocations/x") == []
    assert await store.contents("invocations/x") == {}


async def test_a_mandate_is_redeemed_once(store: SqlStore):
    first = await opened(store)
    again = dataclasses.replace(first, name=name_of("sessions"))
    redeem = RedeemMandate(name=first.mandate, at=NOW, session=again)
    await refused(store, ConflictOn.MANDATE, redeem)
    assert await store.find_session(again.name) is None


async def test_a_mandate_is_redeemed_in_time(store: SqlStore):
    late = session()
    await store.commit(unit(AddMandate(mandate=mandate(late, redeem_by=NOW + 900))))
    redeem = RedeemMandate(name=late.mandate, at=NOW + 900, session=late)
    await refused(store, ConflictOn.MANDATE, redeem)
    in_time = dataclasses.replace(redeem, at=NOW + 899.9)
    await store.commit(unit(in_time))


async def test_a_revoked_mandate_is_not_redeemed_and_a_redeemed_one_not_revoked(store: SqlStore):
    gone = session()
    await store.commit(unit(AddMandate(mandate=mandate(gone))))
    await store.commit(unit(RevokeMandate(name=gone.mandate)))
    redeem = RedeemMandate(name=gone.mandate, at=NOW, session=gone)
    await refused(store, ConflictOn.MANDATE, redeem)
    await refused(store, ConflictOn.MANDATE, RevokeMandate(name=gone.mandate))
    redeemed = await opened(store)
    await refused(store, ConflictOn.MANDATE, RevokeMandate(name=redeemed.mandate))


async def test_two_mandates_cannot_share_a_secret(store: SqlStore):
    one, other = session(), session()
    secret = mandate(one).secret_digest
    await store.commit(unit(AddMandate(mandate=mandate(one))))
    twin = AddMandate(mandate=mandate(other, secret_digest=secret))
    await refused(store, ConflictOn.MANDATE, twin)


async def test_words_are_added_to_the_mandate_and_so_to_its_session(store: SqlStore):
    ordered = session(words=("one",))
    await store.commit(unit(AddMandate(mandate=mandate(ordered))))
    await store.commit(unit(AppendWords(mandate=ordered.mandate, words=("two", "three"))))
    found = await store.find_mandate(name=ordered.mandate)
    assert found is not None
    assert found.session.words == ("one", "two", "three")
    # What the agent opens was read before the last words came: none are lost.
    await store.commit(unit(RedeemMandate(name=ordered.mandate, at=NOW, session=ordered)))
    await store.commit(unit(AppendWords(mandate=ordered.mandate, words=("four",))))
    read = await store.find_session(ordered.name)
    assert read is not None
    assert read.words == ("one", "two", "three", "four")


async def test_words_need_a_mandate_that_is_not_revoked(store: SqlStore):
    await refused(store, ConflictOn.MANDATE, AppendWords(mandate="mandates/x", words=("w",)))
    gone = session()
    await store.commit(unit(AddMandate(mandate=mandate(gone))))
    await store.commit(unit(RevokeMandate(name=gone.mandate)))
    await refused(store, ConflictOn.MANDATE, AppendWords(mandate=gone.mandate, words=("w",)))


async def test_touching_a_session_moves_its_idle_end(store: SqlStore):
    one = await opened(store)
    await store.commit(unit(TouchSession(name=one.name, at=NOW + 10, idle_expires_at=NOW + 99)))
    read = await store.find_session(one.name)
    assert read == dataclasses.replace(one, idle_expires_at=NOW + 99)


@pytest.mark.parametrize("at", [NOW + 1_800, NOW + 86_400])
async def test_a_session_that_is_over_by_the_clock_cannot_be_touched(store: SqlStore, at: float):
    idle = NOW + 1_800 if at == NOW + 1_800 else NOW + 90_000
    one = await opened(store, idle_expires_at=idle)
    touch = TouchSession(name=one.name, at=at, idle_expires_at=at + 1)
    await refused(store, ConflictOn.SESSION, touch)


@pytest.mark.parametrize("state", ["CLOSED", "REVOKED"])
async def test_a_session_ends_once_and_cannot_be_touched_then(store: SqlStore, state: str):
    one = await opened(store)
    await store.commit(unit(EndSession(name=one.name, state=state)))
    assert await store.find_session(one.name) == dataclasses.replace(one, state=state)
    touch = TouchSession(name=one.name, at=NOW, idle_expires_at=NOW + 1)
    await refused(store, ConflictOn.SESSION, touch)
    await refused(store, ConflictOn.SESSION, EndSession(name=one.name, state="CLOSED"))
