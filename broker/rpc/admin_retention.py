"""AdminService's part about what is kept, what is erased, and backups."""

from typing import Any, Final

import grpc

from broker.administration.retention import RetentionAdministration
from broker.core.retention import LegalHold, LegalHoldKind
from broker.rpc.convert import malformed, require_text, timestamp
from broker.rpc.door import authenticated
from broker.v1 import admin_pb2_grpc, retention_pb2

_Context = grpc.aio.ServicerContext[Any, Any]
_KINDS: Final[dict[LegalHoldKind, retention_pb2.LegalHold.Kind.ValueType]] = {
    LegalHoldKind.PRINCIPAL: retention_pb2.LegalHold.KIND_PRINCIPAL,
    LegalHoldKind.SESSION: retention_pb2.LegalHold.KIND_SESSION,
    LegalHoldKind.INVOCATION: retention_pb2.LegalHold.KIND_INVOCATION,
}


class RetentionMethods(admin_pb2_grpc.AdminServiceServicer):
    """Asks `RetentionAdministration`."""

    _retention: RetentionAdministration

    async def GetRetention(
        self, request: retention_pb2.GetRetentionRequest, context: _Context
    ) -> retention_pb2.GetRetentionResponse:
        """How long contents are kept, and what must be."""
        retention, holds = self._retention.in_force()
        return retention_pb2.GetRetentionResponse(
            contents_days=retention.contents_days,
            set_by=retention.set_by,
            set_time=timestamp(retention.set_at) if retention.set_by else None,
            legal_holds=[_out(hold) for hold in holds],
        )

    async def SetRetention(
        self, request: retention_pb2.SetRetentionRequest, context: _Context
    ) -> retention_pb2.SetRetentionResponse:
        """Say how long."""
        made = await self._retention.set(
            authenticated(), contents_days=request.contents_days, reason=request.reason
        )
        return retention_pb2.SetRetentionResponse(contents_days=made.contents_days)

    async def CreateLegalHold(
        self, request: retention_pb2.CreateLegalHoldRequest, context: _Context
    ) -> retention_pb2.CreateLegalHoldResponse:
        """Keep something."""
        require_text(request.subject, field="subject")
        hold = await self._retention.hold(
            authenticated(),
            kind=_kind(request.kind),
            subject=request.subject,
            reason=request.reason,
        )
        return retention_pb2.CreateLegalHoldResponse(legal_hold=_out(hold))

    async def DeleteLegalHold(
        self, request: retention_pb2.DeleteLegalHoldRequest, context: _Context
    ) -> retention_pb2.DeleteLegalHoldResponse:
        """Keep it no longer."""
        require_text(request.name, field="name")
        lifted = await self._retention.release(authenticated(), request.name, reason=request.reason)
        return retention_pb2.DeleteLegalHoldResponse(legal_hold=_out(lifted))

    async def EraseContents(
        self, request: retention_pb2.EraseContentsRequest, context: _Context
    ) -> retention_pb2.EraseContentsResponse:
        """Erase for one principal."""
        require_text(request.principal, field="principal")
        tally = await self._retention.erase(
            authenticated(), principal=request.principal, reason=request.reason
        )
        return retention_pb2.EraseContentsResponse(
            sessions=tally.sessions,
            calls=tally.calls,
            mandates=tally.mandates,
            sessions_open=tally.open,
            sessions_held=tally.held,
        )

    async def BeginBackup(
        self, request: retention_pb2.BeginBackupRequest, context: _Context
    ) -> retention_pb2.BeginBackupResponse:
        """Sign what a backup must have."""
        note = await self._retention.begin_backup(authenticated())
        return retention_pb2.BeginBackupResponse(checkpoint=note)


def _kind(number: retention_pb2.LegalHold.Kind.ValueType) -> LegalHoldKind:
    for kind, known in _KINDS.items():
        if known == number:
            return kind
    raise malformed("kind", "Say what is to be kept.")


def _out(hold: LegalHold) -> retention_pb2.LegalHold:
    return retention_pb2.LegalHold(
        name=hold.name,
        kind=_KINDS[hold.kind],
        subject=hold.subject,
        reason=hold.reason,
        held_by=hold.held_by,
        create_time=timestamp(hold.created_at),
    )
