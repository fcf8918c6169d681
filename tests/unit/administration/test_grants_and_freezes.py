"""What is given and what is stopped has a subject, a reason and an end."""

import pytest

from broker.core.errors import LimitExceeded, MalformedRequest, NotFound
from broker.core.freezes import FreezeKind
from broker.core.scopes import Scope
from tests.unit.administration.office import OPERATOR, agent_order, document


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
