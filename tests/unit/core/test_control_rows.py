"""What operators put in force comes back from its rows as it went in, or not at all."""

from dataclasses import replace

import pytest

from broker.core.calls import Person
from broker.core.control import ControlRow, ControlRows, ToolCache
from broker.core.control_rows import (
    PolicyInForce,
    control_of,
    credential_row,
    credentials_in,
    freeze_row,
    freezes_in,
    grant_row,
    grants_in,
    policy_in,
    policy_row,
    tool_row,
)
from broker.core.credentials import Credential, CredentialClass
from broker.core.errors import Defect
from broker.core.freezes import Freeze, FreezeKind
from broker.core.manifest import parse
from broker.core.scopes import Grant, Scope
from broker.core.unit import PutControl

MANIFEST = {
    "name": "read_order",
    "description": "Read an order.",
    "summary": "Read order {/order_id}",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "required": ["order_id"],
        "properties": {"order_id": {"type": "string", "maxLength": 20}},
    },
    "scopes": [{"name": "orders:read"}],
    "behaviour": {
        "read_only": True,
        "destructive": False,
        "idempotent": True,
        "open_world": False,
    },
}
GRANT = Grant(
    name="grants/1",
    subject="groups/customers",
    scope=Scope(name="refunds:write", where={"/currency": ("EUR", None, 1.5, {"a": [True]})}),
    expires_at=1_800_000_000.25,
    reason="why",
    granted_by="op",
    created_at=1_700_000_000.125,
)
FREEZE = Freeze(
    name="freezes/1",
    kind=FreezeKind.AGENT,
    subject="agents/a",
    reason="why",
    frozen_by="op",
    created_at=1.5,
    expires_at=0.0,
)
CREDENTIAL = Credential(
    name="credentials/1",
    credential_class=CredentialClass.AGENT,
    subject="agents/a",
    person=Person(issuer="https://idp#x", subject="o#1"),
    groups=("g",),
    tools=("t",),
    digest=b"\x00" * 32,
    created_at=1.0,
    expires_at=2.0,
)
POLICY = PolicyInForce(
    revision="sha256:1",
    families=("a", "b"),
    previous="",
    activated_at=3.0,
    activated_by="op",
)


def rows(*puts: PutControl, revision: int = 1) -> ControlRows:
    return ControlRows(
        revision=revision,
        rows=tuple(ControlRow(kind=p.kind, key=p.key, digest=p.digest, body=p.body) for p in puts),
    )


def test_everything_comes_back_as_it_went_in():
    held = rows(
        grant_row(GRANT), freeze_row(FREEZE), credential_row(CREDENTIAL), policy_row(POLICY)
    )
    assert grants_in(held) == (GRANT,)
    assert freezes_in(held) == (FREEZE,)
    assert credentials_in(held) == (CREDENTIAL,)
    assert policy_in(held) == POLICY
    control, _ = control_of(held, ToolCache())
    assert control.policy_revision == POLICY.revision
    assert control.credentials == {CREDENTIAL.digest: CREDENTIAL}
    assert control.agents["agents/a"].owner == CREDENTIAL.person


def test_a_revoked_credential_is_listed_and_opens_nothing():
    revoked = replace(CREDENTIAL, revoked_at=9.0)
    held = rows(credential_row(revoked))
    control, _ = control_of(held, ToolCache())
    assert credentials_in(held) == (revoked,)
    assert (control.credentials, control.agents) == ({}, {})


def test_only_tools_that_changed_are_compiled_again():
    held = rows(tool_row(parse(MANIFEST)))
    first, cache = control_of(held, ToolCache())
    second, _ = control_of(replace(held, revision=2), cache)
    assert second.tools["read_order"] is first.tools["read_order"]
    changed = rows(tool_row(parse({**MANIFEST, "description": "Read it."})), revision=3)
    third, kept = control_of(changed, cache)
    assert third.tools["read_order"] is not first.tools["read_order"]
    assert list(kept.by_revision) == [third.tools["read_order"].manifest.revision]


@pytest.mark.parametrize(
    "row",
    [
        ControlRow(kind="freeze", key="freezes/1", digest="", body=b"{}"),
        ControlRow(kind="freeze", key="freezes/1", digest="", body=b"not JSON"),
        ControlRow(kind="freeze", key="freezes/1", digest="", body=b'{"kind":"planet"}'),
        ControlRow(kind="grant", key="grants/1", digest="", body=b"[]"),
        ControlRow(kind="fees", key="x", digest="", body=b"{}"),
        ControlRow(kind="credential", key="x", digest="", body=b'{"class":"king"}'),
    ],
)
def test_a_row_that_is_not_understood_is_never_skipped(row):
    with pytest.raises(Defect):
        control_of(ControlRows(revision=1, rows=(row,)), ToolCache())


def test_a_tool_row_that_is_not_what_its_key_and_digest_say_is_refused():
    row = tool_row(parse(MANIFEST))
    for wrong in (replace(row, key="other"), replace(row, digest="sha256:0")):
        with pytest.raises(Defect):
            control_of(rows(wrong), ToolCache())
