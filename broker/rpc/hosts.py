"""HostService: who the user is and what they typed, from the application that knows."""

from typing import Any

import grpc

from broker.mandates import Mandates
from broker.rpc.convert import mandate_order, require_text, timestamp, words_in
from broker.rpc.door import authenticated
from broker.v1 import host_pb2, host_pb2_grpc

REASON_CHARACTERS_MAX = 1_000


class HostServicer(host_pb2_grpc.HostServiceServicer):
    """Asks `Mandates` on behalf of a host."""

    def __init__(self, *, mandates: Mandates) -> None:
        self._mandates = mandates

    async def CreateMandate(
        self,
        request: host_pb2.CreateMandateRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> host_pb2.CreateMandateResponse:
        """Order a session."""
        mandate, secret = await self._mandates.create(authenticated(), mandate_order(request))
        return host_pb2.CreateMandateResponse(
            name=mandate.name, secret=secret, expire_time=timestamp(mandate.redeem_by)
        )

    async def AddWords(
        self,
        request: host_pb2.AddWordsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> host_pb2.AddWordsResponse:
        """Add what the user typed later."""
        require_text(request.mandate, field="mandate")
        words = words_in(request.words)
        count = await self._mandates.add_words(authenticated(), request.mandate, words)
        return host_pb2.AddWordsResponse(words_count=count)

    async def RevokeSession(
        self,
        request: host_pb2.RevokeSessionRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> host_pb2.RevokeSessionResponse:
        """End a session for the host."""
        require_text(request.mandate, field="mandate")
        reason = require_text(
            request.reason.strip(), field="reason", characters_max=REASON_CHARACTERS_MAX
        )
        await self._mandates.revoke(authenticated(), request.mandate, reason)
        return host_pb2.RevokeSessionResponse()
