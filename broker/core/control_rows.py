"""Control rows say in RFC 8785 JSON what is in force; here they are written and read, both ways.

Reading is exact: a row that this release does not understand is a Defect, and whoever reads keeps
what it had. Nothing is skipped, because a grant that is overlooked is harmless and a freeze that is
overlooked is not.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from broker.core.arguments import JsonValue
from broker.core.calls import Person
from broker.core.canonical import canonical_bytes, digest
from broker.core.compiling import compiled_later
from broker.core.control import (
    Control,
    ControlRow,
    ControlRows,
    RegisteredTool,
    ToolCache,
    agents_of,
    beside_each_other,
)
from broker.core.credentials import Credential, CredentialClass, bindings_of
from broker.core.directory_rows import DIRECTORY, directory_in
from broker.core.errors import Defect
from broker.core.freezes import Freeze, FreezeKind
from broker.core.manifest import ToolManifest, reread
from broker.core.observing_rows import OBSERVATION, observations_in
from broker.core.retention_rows import (
    LEGAL_HOLD,
    legal_holds_in,
    restored_in,
    retention_in,
)
from broker.core.scopes import Grant, Scope
from broker.core.shadow_rows import SHADOW, shadow_in
from broker.core.unit import PutControl

TOOL: Final = "tool"
POLICY: Final = "policy"
GRANT: Final = "grant"
FREEZE: Final = "freeze"
CREDENTIAL: Final = "credential"
SETTING: Final = "setting"
ACTIVE: Final = "active"
"""The key of the one policy row."""

_KINDS: Final = frozenset(
    {TOOL, POLICY, GRANT, FREEZE, CREDENTIAL, SETTING, DIRECTORY, OBSERVATION, SHADOW, LEGAL_HOLD}
)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInForce:
    """Which policy decides.

    Attributes:
        revision: digest of the bundle, whose content is a document by this digest.
        families: its rule families, sorted; the next revision has them too or drops them by name.
        previous: the revision that was in force before; empty for the first.
        activated_by: the operator.
    """

    revision: str
    families: tuple[str, ...]
    previous: str
    activated_at: float
    activated_by: str


def control_of(rows: ControlRows, cache: ToolCache) -> tuple[Control, ToolCache]:
    """Build what the stages read.

    Args:
        rows: all rows in force.
        cache: of an earlier revision; only what is new is read.

    Returns:
        The control, and the cache for the next one.

    Raises:
        Defect: a row is not one of ours.
    """
    unknown = {row.kind for row in rows.rows} - _KINDS
    if unknown:
        raise Defect(f"Control rows of unknown kinds: {', '.join(sorted(unknown))}.")
    tools = beside_each_other(_tool(row, cache) for row in rows.rows if row.kind == TOOL)
    every = credentials_in(rows)
    good = tuple(c for c in every if not c.revoked_at)
    policy = policy_in(rows)
    digests = tuple(row.digest for row in rows.rows if row.kind == DIRECTORY)
    directory = cache.directory if digests == cache.directory_digests else directory_in(rows.rows)
    control = Control(
        revision=rows.revision,
        policy_revision=policy.revision if policy else "",
        tools=tools,
        grants=grants_in(rows),
        freezes=freezes_in(rows),
        agents=agents_of(good),
        credentials={c.digest: c for c in good if c.digest},
        bindings=bindings_of(every),
        observations=observations_in(rows.rows),
        shadow=shadow_in(rows.rows),
        directory=directory,
        legal_holds=legal_holds_in(rows.rows),
        retention=retention_in(rows.rows),
        restored=restored_in(rows.rows),
    )
    return control, ToolCache(
        by_revision={t.manifest.revision: t for t in tools.values()},
        directory=directory,
        directory_digests=digests,
    )


def grants_in(rows: ControlRows) -> tuple[Grant, ...]:
    """Every grant, expired ones too, oldest first."""
    return _sorted(rows, GRANT, _grant)


def freezes_in(rows: ControlRows) -> tuple[Freeze, ...]:
    """Every freeze, expired ones too, oldest first."""
    return _sorted(rows, FREEZE, _freeze)


def credentials_in(rows: ControlRows) -> tuple[Credential, ...]:
    """Every credential, expired and revoked ones too, oldest first."""
    return _sorted(rows, CREDENTIAL, _credential)


def policy_in(rows: ControlRows) -> PolicyInForce | None:
    """The policy in force, if one ever was activated."""
    for row in rows.rows:
        if row.kind == POLICY and row.key == ACTIVE:
            return _read(row, _policy)
    return None


def tool_row(manifest: ToolManifest) -> PutControl:
    """The row that puts a tool in force; its digest is the manifest's revision."""
    return PutControl(
        kind=TOOL,
        key=manifest.name,
        digest=manifest.revision,
        body=canonical_bytes(dict(manifest.document)),
    )


def policy_row(policy: PolicyInForce) -> PutControl:
    """The row that puts a policy in force; its digest is the bundle's revision."""
    return PutControl(
        kind=POLICY,
        key=ACTIVE,
        digest=policy.revision,
        body=canonical_bytes(
            {
                "revision": policy.revision,
                "families": list(policy.families),
                "previous": policy.previous,
                "activated_at": policy.activated_at,
                "activated_by": policy.activated_by,
            }
        ),
    )


def grant_row(grant: Grant) -> PutControl:
    """The row that gives."""
    return _row(
        GRANT,
        grant.name,
        {
            "subject": grant.subject,
            "scope": grant.scope.name,
            "where": {reference: list(values) for reference, values in grant.scope.where.items()},
            "expires_at": grant.expires_at,
            "reason": grant.reason,
            "granted_by": grant.granted_by,
            "created_at": grant.created_at,
        },
    )


def freeze_row(freeze: Freeze) -> PutControl:
    """The row that stops."""
    return _row(
        FREEZE,
        freeze.name,
        {
            "kind": freeze.kind.value,
            "subject": freeze.subject,
            "reason": freeze.reason,
            "frozen_by": freeze.frozen_by,
            "created_at": freeze.created_at,
            "expires_at": freeze.expires_at,
        },
    )


def credential_row(credential: Credential) -> PutControl:
    """The row of a credential; of its token it holds the SHA-256 alone."""
    person = credential.person
    return _row(
        CREDENTIAL,
        credential.name,
        {
            "class": credential.credential_class.value,
            "subject": credential.subject,
            "person": None if person is None else [person.issuer, person.subject],
            "groups": list(credential.groups),
            "tools": list(credential.tools),
            "token_sha256": credential.digest.hex(),
            "created_at": credential.created_at,
            "expires_at": credential.expires_at,
            "revoked_at": credential.revoked_at,
            "identity": credential.identity,
            "certificate_san": credential.certificate_san,
            "lasting_s": credential.lasting_s,
        },
    )


def _row(kind: str, key: str, body: dict[str, JsonValue]) -> PutControl:
    return PutControl(kind=kind, key=key, digest=digest(body), body=canonical_bytes(body))


def _sorted(
    rows: ControlRows, kind: str, reader: Callable[[str, Mapping[str, Any]], _T]
) -> tuple[_T, ...]:
    """Names end in UUIDv7s, whose order is that of their making."""
    ordered = sorted((row for row in rows.rows if row.kind == kind), key=lambda row: row.key)
    return tuple(_read(row, reader) for row in ordered)


def _read(row: ControlRow, reader: Callable[[str, Mapping[str, Any]], _T]) -> _T:
    try:
        return reader(row.key, cast("Mapping[str, Any]", json.loads(row.body)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Defect(f"The control row {row.kind} {row.key} cannot be read.") from error


def _tool(row: ControlRow, cache: ToolCache) -> RegisteredTool:
    known = cache.by_revision.get(row.digest)
    tool = known or _read(row, lambda _key, body: compiled_later(reread(body)))
    if (tool.manifest.name, tool.manifest.revision) != (row.key, row.digest):
        raise Defect(f"The control row tool {row.key} is not what its key and digest say.")
    return tool


def _policy(_key: str, body: Mapping[str, Any]) -> PolicyInForce:
    return PolicyInForce(
        revision=str(body["revision"]),
        families=_texts(body["families"]),
        previous=str(body["previous"]),
        activated_at=float(body["activated_at"]),
        activated_by=str(body["activated_by"]),
    )


def _grant(key: str, body: Mapping[str, Any]) -> Grant:
    return Grant(
        name=key,
        subject=str(body["subject"]),
        scope=Scope(
            name=str(body["scope"]),
            where={str(reference): tuple(v) for reference, v in body["where"].items()},
        ),
        expires_at=float(body["expires_at"]),
        reason=str(body["reason"]),
        granted_by=str(body["granted_by"]),
        created_at=float(body["created_at"]),
    )


def _freeze(key: str, body: Mapping[str, Any]) -> Freeze:
    return Freeze(
        name=key,
        kind=FreezeKind(body["kind"]),
        subject=str(body["subject"]),
        reason=str(body["reason"]),
        frozen_by=str(body["frozen_by"]),
        created_at=float(body["created_at"]),
        expires_at=float(body["expires_at"]),
    )


def _credential(key: str, body: Mapping[str, Any]) -> Credential:
    return Credential(
        name=key,
        credential_class=CredentialClass(body["class"]),
        subject=str(body["subject"]),
        person=_person(body["person"]),
        groups=_texts(body["groups"]),
        tools=_texts(body["tools"]),
        digest=bytes.fromhex(body["token_sha256"]),
        created_at=float(body["created_at"]),
        expires_at=float(body["expires_at"]),
        revoked_at=float(body["revoked_at"]),
        identity=str(body.get("identity", "")),
        certificate_san=str(body.get("certificate_san", "")),
        lasting_s=float(body.get("lasting_s", 0.0)),
    )


def _person(pair: Sequence[str] | None) -> Person | None:
    if pair is None:
        return None
    issuer, subject = pair
    return Person(issuer=issuer, subject=subject)


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
