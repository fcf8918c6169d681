"""AdminService's part about credentials: made, rotated, revoked, and listed with their last use."""

from typing import Any

import grpc

from broker.administration.credentials import (
    OVERLAP_S,
    CredentialAdministration,
    CredentialOrder,
)
from broker.core.credentials import Credential, CredentialClass
from broker.rpc.convert import malformed, require_text, seconds, timestamp
from broker.rpc.convert_admin import enum_name
from broker.rpc.door import authenticated
from broker.v1 import admin_pb2, admin_pb2_grpc, credentials_pb2

_Context = grpc.aio.ServicerContext[Any, Any]
_IDENTITY_CHARACTERS_MAX = 500


class CredentialMethods(admin_pb2_grpc.AdminServiceServicer):
    """Asks `CredentialAdministration`."""

    _credentials: CredentialAdministration

    async def CreateCredential(
        self, request: admin_pb2.CreateCredentialRequest, context: _Context
    ) -> admin_pb2.CreateCredentialResponse:
        """Make one; its token is shown this once."""
        credential, token = await self._credentials.create(
            authenticated(), credential_order(request)
        )
        return admin_pb2.CreateCredentialResponse(
            credential=credential_out(credential), token=token
        )

    async def RotateCredential(
        self, request: credentials_pb2.RotateCredentialRequest, context: _Context
    ) -> credentials_pb2.RotateCredentialResponse:
        """Another token for the same holder; the one before goes on for a while."""
        require_text(request.name, field="name")
        said = request.HasField("overlap")
        made = await self._credentials.rotate(
            authenticated(),
            request.name,
            overlap_s=seconds(request.overlap, field="overlap") if said else OVERLAP_S,
            reason=request.reason,
        )
        return credentials_pb2.RotateCredentialResponse(
            name=made.credential.name,
            token=made.token,
            expire_time=timestamp(made.credential.expires_at),
            replaced_expire_time=timestamp(made.replaced.expires_at),
        )

    async def RevokeCredential(
        self, request: admin_pb2.RevokeCredentialRequest, context: _Context
    ) -> admin_pb2.RevokeCredentialResponse:
        """End one at once."""
        require_text(request.name, field="name")
        await self._credentials.revoke(authenticated(), request.name, reason=request.reason)
        return admin_pb2.RevokeCredentialResponse()

    async def RevokeIdentity(
        self, request: credentials_pb2.RevokeIdentityRequest, context: _Context
    ) -> credentials_pb2.RevokeIdentityResponse:
        """Let somebody in no more, whatever an issuer signs."""
        require_text(request.identity, field="identity", characters_max=_IDENTITY_CHARACTERS_MAX)
        revoked = await self._credentials.revoke_identity(
            authenticated(), request.identity, reason=request.reason
        )
        return credentials_pb2.RevokeIdentityResponse(revoked=revoked)

    async def ListCredentials(
        self, request: admin_pb2.ListCredentialsRequest, context: _Context
    ) -> admin_pb2.ListCredentialsResponse:
        """All, without tokens."""
        found = await self._credentials.list()
        used = await self._credentials.last_used()
        return admin_pb2.ListCredentialsResponse(
            credentials=[credential_out(one, used.get(one.name, 0.0)) for one in found]
        )


def credential_order(request: admin_pb2.CreateCredentialRequest) -> CredentialOrder:
    """What credential is wanted.

    Raises:
        MalformedRequest: of no class that this release knows.
    """
    told = enum_name(admin_pb2.CredentialClass.items(), request.credential_class)
    name = told.removeprefix("CREDENTIAL_CLASS_").lower()
    try:
        credential_class = CredentialClass(name)
    except ValueError:
        raise malformed("credential_class", "Say what it is good for.") from None
    has_life = request.HasField("life")
    return CredentialOrder(
        credential_class=credential_class,
        subject=request.subject,
        person=request.person,
        groups=tuple(request.groups),
        tools=tuple(request.tools),
        life_s=seconds(request.life, field="life") if has_life else None,
        identity=request.identity,
        certificate_san=request.certificate_san,
        certificate_alone=request.certificate_alone,
    )


def credential_out(credential: Credential, used_at: float = 0.0) -> admin_pb2.Credential:
    """A credential without its token; `used_at` is 0 where it never was."""
    return admin_pb2.Credential(
        name=credential.name,
        credential_class=admin_pb2.CredentialClass.Value(
            f"CREDENTIAL_CLASS_{credential.credential_class.name}"
        ),
        subject=credential.subject,
        person=str(credential.person) if credential.person else "",
        groups=credential.groups,
        tools=credential.tools,
        expire_time=timestamp(credential.expires_at),
        create_time=timestamp(credential.created_at),
        revoked=bool(credential.revoked_at),
        last_use_time=timestamp(used_at) if used_at else None,
        identity=credential.identity,
        certificate_san=credential.certificate_san,
        has_token=bool(credential.digest),
    )
