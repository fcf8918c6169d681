"""Operators change what is in force: checked, whole, audited, and seen at once."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from broker.administration import Administration
from broker.administration.credentials import CredentialOrder
from broker.control_room import ControlRoom
from broker.core.credentials import CredentialClass, secret_digest
from broker.core.errors import (
    IllegalTransition,
    LimitExceeded,
    MalformedRequest,
    NotFound,
    PolicyUnavailable,
    StaleEtag,
)
from broker.core.freezes import FreezeKind
from broker.core.scopes import Scope
from broker.core.unit import Conflict, ConflictOn, Unit
from broker.events import Events
from broker.store import SqlStore
from tests.fakes.policy_room import FakePolicyRoom
from tests.offices import administration, operator
from tests.stores import temporary_store
from tests.world import REFUND, FakeClock

OPERATOR = operator()


@dataclass
class Office:
    store: SqlStore
    room: ControlRoom
    policies: FakePolicyRoom
    clock: FakeClock
    admin: Administration

    async def said(self) -> list[dict[str, Any]]:
        """The log's entries so far."""
        lines = [line async for line in self.store.export(since=0.0, include_contents=False)]
        entries = [json.loads(line) for part in lines for line in part.splitlines()]
        return [entry.get("entry", entry) for entry in entries]

    async def kinds(self) -> list[str]:
        return [entry["kind"] for entry in await self.said() if "kind" in entry]


@pytest.fixture
async def office(tmp_path):
    clock = FakeClock()
    async with temporary_store(tmp_path, clock=clock) as store:
        room = await ControlRoom.open(store=store, events=Events())
        policies = FakePolicyRoom()
        admin = administration(store, room, policies, clock=clock)
        yield Office(store, room, policies, clock, admin)
        await admin.policies.close()


def document(**changed: Any) -> bytes:
    return json.dumps({**REFUND, **changed}).encode()


async def test_tools_come_into_force_at_once_and_each_is_kept_and_in_the_log(office):
    put = await office.admin.tools.put(OPERATOR, [document(), document(name="refund_all")])
    assert [m.name for m in put.manifests] == ["refund", "refund_all"]
    assert set(office.room.current().tools) == {"refund", "refund_all"}
    for manifest in put.manifests:
        assert await office.store.document(manifest.revision) is not None
    assert (await office.kinds()).count("tool.put") == 2


async def test_putting_the_same_again_changes_nothing(office):
    await office.admin.tools.put(OPERATOR, [document()])
    before = office.room.current().revision
    await office.admin.tools.put(OPERATOR, [document()])
    assert office.room.current().revision == before


async def test_one_broken_manifest_takes_none_and_all_findings_are_told(office):
    with pytest.raises(MalformedRequest) as wrong:
        await office.admin.tools.put(
            OPERATOR, [document(), b"{", document(name="UPPER"), document(summary=1)]
        )
    assert all(f"manifest {n}: " in str(wrong.value) for n in (2, 3, 4))
    assert office.room.current().tools == {}
    assert office.room.current().revision == (await office.store.control()).revision


async def test_one_name_twice_in_one_request_is_refused(office):
    with pytest.raises(MalformedRequest, match="second one for the tool refund"):
        await office.admin.tools.put(OPERATOR, [document(), document(description="Other.")])


async def test_checking_alone_changes_nothing(office):
    put = await office.admin.tools.put(OPERATOR, [document()], validate_only=True)
    assert [m.name for m in put.manifests] == ["refund"]
    assert office.room.current().tools == {}


async def test_replacing_all_takes_the_others_out(office):
    await office.admin.tools.put(OPERATOR, [document(), document(name="old")])
    await office.admin.tools.put(OPERATOR, [document()], replace_all=True)
    assert set(office.room.current().tools) == {"refund"}
    assert (await office.kinds()).count("tool.deleted") == 1


async def test_a_fact_of_a_source_that_is_not_configured_gets_a_warning(office):
    facts = {"order": {**REFUND["facts"]["order"], "source": "warehouse"}}
    put = await office.admin.tools.put(OPERATOR, [document(facts=facts)])
    assert any("warehouse" in warning for warning in put.warnings)


async def test_a_deleted_tool_is_out_and_needs_a_reason_and_to_be_there(office):
    await office.admin.tools.put(OPERATOR, [document()])
    with pytest.raises(MalformedRequest):
        await office.admin.tools.delete(OPERATOR, "refund", reason=" ")
    await office.admin.tools.delete(OPERATOR, "refund", reason="retired")
    with pytest.raises(NotFound):
        await office.admin.tools.delete(OPERATOR, "refund", reason="again")
    assert office.room.current().tools == {}


async def test_a_tool_that_the_policy_in_force_reads_cannot_leave_under_it(office):
    await office.admin.tools.put(OPERATOR, [document()])
    await office.admin.policies.activate(OPERATOR, {"money/rule": b"needs refund"})
    with pytest.raises(MalformedRequest, match="undefined schema of refund"):
        await office.admin.tools.delete(OPERATOR, "refund", reason="retired")
    with pytest.raises(MalformedRequest, match="undefined schema of refund"):
        await office.admin.tools.put(OPERATOR, [document(name="other")], replace_all=True)
    assert set(office.room.current().tools) == {"refund"}


async def test_a_policy_answers_before_it_is_in_force_and_the_old_one_ends_after(office):
    first = await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    second = await office.admin.policies.activate(OPERATOR, {"a/x": b"2"}, reason="better")
    assert office.room.current().policy_revision == second.revision
    async with asyncio.timeout(5):
        while len(office.policies.events) < 3:
            await asyncio.sleep(0.01)
    assert office.policies.events == [
        ("start", first.revision),
        ("start", second.revision),
        ("end", first.revision),
    ]
    kept = await office.admin.policies.kept()
    assert {(p.revision, p.active) for p in kept} == {
        (first.revision, False),
        (second.revision, True),
    }


async def test_a_refused_policy_leaves_the_old_one_and_an_entry(office):
    first = await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    for files in ({}, {"a/x": b"broken"}, {"b/x": b"1"}):
        with pytest.raises(MalformedRequest):
            await office.admin.policies.activate(OPERATOR, files)
    assert office.room.current().policy_revision == first.revision
    assert office.policies.at(first.revision)
    assert (await office.kinds()).count("policy.refused") == 3


async def test_a_family_goes_only_by_name(office):
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1", "b/x": b"1"})
    with pytest.raises(MalformedRequest, match="b: vanished"):
        await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"}, drop_families=["b"])


async def test_a_policy_that_does_not_start_changes_nothing(office):
    first = await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    office.policies.is_dead = True
    with pytest.raises(PolicyUnavailable):
        await office.admin.policies.activate(OPERATOR, {"a/x": b"2"})
    assert office.room.current().policy_revision == first.revision


async def test_rolling_back_brings_the_one_before_or_a_named_one_back(office):
    bundles = [
        await office.admin.policies.activate(OPERATOR, {"a/x": str(n).encode()}) for n in range(3)
    ]
    with pytest.raises(MalformedRequest):
        await office.admin.policies.rollback(OPERATOR, reason="")
    back = await office.admin.policies.rollback(OPERATOR, reason="worse")
    assert back.revision == bundles[1].revision == office.room.current().policy_revision
    await office.admin.policies.rollback(OPERATOR, bundles[0].revision, reason="worse still")
    assert office.room.current().policy_revision == bundles[0].revision
    with pytest.raises(IllegalTransition):
        await office.admin.policies.rollback(OPERATOR, bundles[0].revision, reason="again")
    with pytest.raises(NotFound):
        await office.admin.policies.rollback(OPERATOR, "sha256:0", reason="what")


async def test_with_nothing_before_there_is_no_way_back(office):
    with pytest.raises(IllegalTransition):
        await office.admin.policies.rollback(OPERATOR, reason="why not")


async def test_the_policy_in_force_is_warm_again_after_a_restart(office):
    bundle = await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    again = FakePolicyRoom()
    room = await ControlRoom.open(store=office.store, events=Events())
    await administration(office.store, room, again, clock=office.clock).policies.start()
    assert again.at(bundle.revision)


async def test_a_grant_shows_in_access_and_goes_when_taken_back(office):
    await office.admin.tools.put(OPERATOR, [document()])
    await office.admin.credentials.create(OPERATOR, agent_order())
    give = office.admin.grants.create
    scope = Scope(name="refunds:write", where={"/currency": ("EUR",)})
    own = await give(OPERATOR, subject="groups/customers", scope=scope, reason="sells")
    idle = await give(OPERATOR, subject="c-1", scope=Scope(name="mail:send"), reason="maybe")
    lent = await give(
        OPERATOR, subject="agents/a", scope=Scope(name="refunds:write"), reason="helps"
    )
    access = office.admin.grants.access(principal="c-1", groups=["customers"])
    (line,) = access.lines
    assert (line.scope, line.agent, line.tools) == ("refunds:write", "agents/a", ("refund",))
    assert (line.principal_grants, line.agent_grants) == ((own,), (lent,))
    assert access.unused == (idle,)
    assert office.admin.grants.access(principal="c-2").lines == ()
    await office.admin.grants.delete(OPERATOR, lent.name, reason="enough")
    assert office.admin.grants.access(principal="c-1", groups=["customers"]).lines == ()
    with pytest.raises(NotFound):
        await office.admin.grants.delete(OPERATOR, lent.name, reason="enough")


async def test_an_expired_grant_gives_nothing(office):
    await office.admin.credentials.create(OPERATOR, agent_order())
    for subject in ("c-1", "agents/a"):
        await office.admin.grants.create(
            OPERATOR,
            subject=subject,
            scope=Scope(name="s"),
            expires_at=office.clock() + 10,
            reason="r",
        )
    assert office.admin.grants.access(principal="c-1").lines
    office.clock.advance(10)
    assert office.admin.grants.access(principal="c-1").lines == ()


async def test_a_grant_needs_a_subject_a_reason_and_an_end_to_come(office):
    create = office.admin.grants.create
    scope = Scope(name="s")
    for wrong in (
        {"subject": "", "reason": "r"},
        {"subject": "groups/", "reason": "r"},
        {"subject": "a\nb", "reason": "r"},
        {"subject": "a", "reason": ""},
        {"subject": "a", "reason": "r", "expires_at": office.clock()},
    ):
        with pytest.raises(MalformedRequest):
            await create(OPERATOR, scope=scope, **wrong)
    with pytest.raises(LimitExceeded):
        await create(OPERATOR, subject="a", scope=scope, reason="r" * 1_001)


async def test_a_freeze_names_something_that_there_is(office):
    await office.admin.tools.put(OPERATOR, [document()])
    freeze = office.admin.freezes.create
    for kind, subject in (
        (FreezeKind.TOOL, "refnud"),
        (FreezeKind.AGENT, "agents/none"),
        (FreezeKind.SESSION, "sessions/none"),
        (FreezeKind.PRINCIPAL, ""),
        (FreezeKind.ALL, "refund"),
    ):
        with pytest.raises(MalformedRequest) as wrong:
            await freeze(OPERATOR, kind=kind, subject=subject, reason="r")
        assert wrong.value.metadata["field"] == "subject"
    for reason, life_s in (("", None), ("r", 0.0)):
        with pytest.raises(MalformedRequest):
            await freeze(OPERATOR, kind=FreezeKind.ALL, subject="", reason=reason, life_s=life_s)


async def test_a_freeze_is_in_force_until_it_is_lifted_or_its_time_is_over(office):
    await office.admin.tools.put(OPERATOR, [document()])
    freezes = office.admin.freezes
    brief = await freezes.create(
        OPERATOR, kind=FreezeKind.ALL, subject="", reason="fire", life_s=60.0
    )
    lasting = await freezes.create(OPERATOR, kind=FreezeKind.TOOL, subject="refund", reason="fraud")
    assert freezes.in_force() == (brief, lasting)
    office.clock.advance(60)
    assert freezes.in_force() == (lasting,)
    await freezes.delete(OPERATOR, lasting.name, reason="solved")
    assert freezes.in_force() == ()
    with pytest.raises(NotFound):
        await freezes.delete(OPERATOR, lasting.name, reason="solved")
    assert [k for k in await office.kinds() if k.startswith("freeze")] == [
        "freeze.created",
        "freeze.created",
        "freeze.deleted",
    ]


def agent_order(person: str = "owner", subject: str = "agents/a", **given: Any) -> CredentialOrder:
    return CredentialOrder(
        credential_class=CredentialClass.AGENT, subject=subject, person=person, **given
    )


async def test_a_token_opens_what_it_was_made_for_and_is_stored_nowhere(office, tmp_path):
    credential, token = await office.admin.credentials.create(OPERATOR, agent_order())
    assert office.room.current().credentials[secret_digest(token)] == credential
    assert token.startswith("cb_agent_")
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert token.encode() not in held
    assert token.removeprefix("cb_agent_").encode() not in held


@pytest.mark.parametrize(
    "order",
    [
        CredentialOrder(credential_class=CredentialClass.AGENT, subject="a", person="p"),
        CredentialOrder(credential_class=CredentialClass.AGENT, subject="agents/", person="p"),
        CredentialOrder(credential_class=CredentialClass.AGENT, subject="agents/a"),
        CredentialOrder(credential_class=CredentialClass.HOST, subject="agents/a"),
        CredentialOrder(credential_class=CredentialClass.WORKER, subject="w"),
        CredentialOrder(
            credential_class=CredentialClass.WORKER, subject="w", tools=("t",), groups=("g",)
        ),
        CredentialOrder(credential_class=CredentialClass.REVIEWER, subject="r", person="p"),
        CredentialOrder(credential_class=CredentialClass.REVIEWER, subject="r", groups=("g",)),
        CredentialOrder(credential_class=CredentialClass.OPERATOR, subject="o"),
        CredentialOrder(credential_class=CredentialClass.AUDITOR, subject=""),
        CredentialOrder(credential_class=CredentialClass.AUDITOR, subject="a", tools=("t",)),
        CredentialOrder(credential_class=CredentialClass.AUDITOR, subject="a", life_s=0.0),
        CredentialOrder(credential_class=CredentialClass.AUDITOR, subject="a", life_s=4e7),
        CredentialOrder(credential_class=CredentialClass.AUDITOR, subject="a\x1b[2J"),
    ],
)
async def test_a_credential_that_does_not_fit_its_class_is_refused(office, order):
    with pytest.raises(MalformedRequest):
        await office.admin.credentials.create(OPERATOR, order)
    assert office.room.current().credentials == {}


async def test_one_agent_has_one_owner_while_any_token_of_it_is_good(office):
    create = office.admin.credentials.create
    first, _ = await create(OPERATOR, agent_order("owner", life_s=60.0))
    await create(OPERATOR, agent_order("local#owner", life_s=60.0))
    with pytest.raises(MalformedRequest, match="has another person"):
        await create(OPERATOR, agent_order("somebody-else"))
    office.clock.advance(60)
    await create(OPERATOR, agent_order("somebody-else"))
    assert office.room.current().agents["agents/a"].owner.subject == "somebody-else"
    assert first.name in {c.name for c in await office.admin.credentials.list()}


async def test_one_reviewers_name_stands_for_one_person(office):
    def order(person: str) -> CredentialOrder:
        return CredentialOrder(
            credential_class=CredentialClass.REVIEWER,
            subject="lead-1",
            person=person,
            groups=("leads",),
        )

    await office.admin.credentials.create(OPERATOR, order("ann"))
    with pytest.raises(MalformedRequest):
        await office.admin.credentials.create(OPERATOR, order("idp#ann"))


async def test_a_revoked_credential_opens_nothing_and_stays_in_the_list(office):
    credential, token = await office.admin.credentials.create(OPERATOR, agent_order())
    await office.admin.credentials.revoke(OPERATOR, credential.name, reason="lost")
    assert secret_digest(token) not in office.room.current().credentials
    (listed,) = await office.admin.credentials.list()
    assert listed.revoked_at == office.clock()
    with pytest.raises(IllegalTransition):
        await office.admin.credentials.revoke(OPERATOR, credential.name, reason="lost")
    with pytest.raises(NotFound):
        await office.admin.credentials.revoke(OPERATOR, "credentials/0", reason="lost")


async def test_two_changes_at_once_are_both_made(office):
    async def give(number: int) -> None:
        await office.admin.grants.create(
            OPERATOR, subject=f"c-{number}", scope=Scope(name="s"), reason="r"
        )

    await asyncio.gather(*(give(number) for number in range(4)))
    assert len(office.room.current().grants) == 4


class Overtaken:
    """A store in which somebody else always commits first."""

    def __init__(self, store: SqlStore) -> None:
        self.control = store.control

    async def commit(self, unit: Unit) -> None:
        raise Conflict(ConflictOn.CONTROL if unit.changes else ConflictOn.REVIEW)


async def test_a_change_that_others_keep_overtaking_gives_up_and_changes_nothing(office):
    busy = administration(Overtaken(office.store), office.room, office.policies, clock=office.clock)
    with pytest.raises(StaleEtag):
        await busy.grants.create(OPERATOR, subject="a", scope=Scope(name="s"), reason="r")
    assert office.room.current().grants == ()


class Interrupted:
    """A store in which somebody else changes something between a check and its commit, once."""

    def __init__(self, store: SqlStore, rival: Callable[[], Awaitable[Any]]) -> None:
        self.control = store.control
        self._store = store
        self._rival: Callable[[], Awaitable[Any]] | None = rival

    async def commit(self, unit: Unit) -> None:
        rival, self._rival = self._rival, None
        if rival is not None:
            await rival()
        await self._store.commit(unit)


async def test_a_change_is_checked_again_where_another_came_between_check_and_commit(office):
    """Two operators give one agent two owners in the same moment."""

    async def rival() -> None:
        await office.admin.credentials.create(operator("operator-2"), agent_order("ann"))

    late = administration(
        Interrupted(office.store, rival), office.room, office.policies, clock=office.clock
    )
    with pytest.raises(MalformedRequest, match="has another person"):
        await late.credentials.create(OPERATOR, agent_order("bob"))
    assert office.room.current().agents["agents/a"].owner.subject == "ann"


async def test_status_says_what_is_in_force_and_what_waits(office):
    await office.admin.tools.put(OPERATOR, [document()])
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    await office.admin.freezes.create(
        OPERATOR, kind=FreezeKind.ALL, subject="", reason="r", life_s=5.0
    )
    status = await office.admin.overview.status()
    assert (status.tools, status.freezes, status.policy_ready) == (1, 1, True)
    assert status.control_revision == (await office.store.control()).revision
    office.clock.advance(5)
    office.policies.points.clear()
    status = await office.admin.overview.status()
    assert (status.freezes, status.policy_ready) == (0, False)


async def test_taking_the_log_away_is_an_entry_in_it(office):
    parts = office.admin.overview.export(OPERATOR, since=0.0, include_contents=True)
    async with contextlib.aclosing(parts):
        lines = b"".join([part async for part in parts])
    assert b"audit.exported" in lines


async def test_every_entry_names_who_did_it_and_as_whom(office):
    await office.admin.freezes.create(OPERATOR, kind=FreezeKind.ALL, subject="", reason="because")
    (entry,) = [e for e in await office.said() if e.get("kind") == "freeze.created"]
    assert entry["actor"] == OPERATOR.subject
    assert entry["body"]["credential"] == OPERATOR.name
    assert entry["body"]["person"] == "local#operator-1"
    assert entry["body"]["reason"] == "because"
