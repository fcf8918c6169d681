"""AdminService's part about who is signed in at the review page."""

from typing import Any

import grpc

from broker.administration.sign_ins import SignInAdministration
from broker.core.sign_ins import SignIn
from broker.rpc.convert import require_text, timestamp
from broker.rpc.door import authenticated
from broker.v1 import admin_pb2_grpc, signing_in_pb2

_Context = grpc.aio.ServicerContext[Any, Any]


class SignInMethods(admin_pb2_grpc.AdminServiceServicer):
    """Asks `SignInAdministration`."""

    _sign_ins: SignInAdministration

    async def ListSignIns(
        self, request: signing_in_pb2.ListSignInsRequest, context: _Context
    ) -> signing_in_pb2.ListSignInsResponse:
        """Those that are good."""
        found = await self._sign_ins.good()
        return signing_in_pb2.ListSignInsResponse(sign_ins=[_out(one) for one in found])

    async def RevokeSignIn(
        self, request: signing_in_pb2.RevokeSignInRequest, context: _Context
    ) -> signing_in_pb2.RevokeSignInResponse:
        """End one at once."""
        require_text(request.name, field="name")
        ended = await self._sign_ins.revoke(authenticated(), request.name, reason=request.reason)
        return signing_in_pb2.RevokeSignInResponse(sign_in=_out(ended))


def _out(sign_in: SignIn) -> signing_in_pb2.SignIn:
    return signing_in_pb2.SignIn(
        name=sign_in.name,
        reviewer=sign_in.reviewer.name,
        person=str(sign_in.reviewer.person),
        groups=sign_in.reviewer.groups,
        how=sign_in.how,
        create_time=timestamp(sign_in.created_at),
        expire_time=timestamp(sign_in.expires_at),
        idle_expire_time=timestamp(sign_in.idle_expires_at),
    )
