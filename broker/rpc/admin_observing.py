"""AdminService's part about what is tried out: families that are observed, and a shadow policy."""

from typing import Any

import grpc

from broker.administration.observing import ObservingAdministration
from broker.administration.shadow import ShadowAdministration
from broker.rpc.convert import instant, require_text
from broker.rpc.convert_observing import observation_out, shadow_out
from broker.rpc.door import authenticated
from broker.v1 import admin_pb2_grpc, observing_pb2

_Context = grpc.aio.ServicerContext[Any, Any]


class ObservingMethods(admin_pb2_grpc.AdminServiceServicer):
    """Asks `ObservingAdministration` and `ShadowAdministration`."""

    _observing: ObservingAdministration
    _shadow: ShadowAdministration

    async def CreateObservation(
        self, request: observing_pb2.CreateObservationRequest, context: _Context
    ) -> observing_pb2.CreateObservationResponse:
        """Take the force from a family's holds and denials, for a while."""
        require_text(request.family, field="family")
        observation = await self._observing.create(
            authenticated(),
            family=request.family,
            agent=request.agent,
            expires_at=instant(request.expire_time, field="expire_time"),
            reason=request.reason,
        )
        return observing_pb2.CreateObservationResponse(observation=observation_out(observation))

    async def DeleteObservation(
        self, request: observing_pb2.DeleteObservationRequest, context: _Context
    ) -> observing_pb2.DeleteObservationResponse:
        """Give it back."""
        require_text(request.name, field="name")
        ended = await self._observing.delete(authenticated(), request.name, reason=request.reason)
        return observing_pb2.DeleteObservationResponse(observation=observation_out(ended))

    async def ListObservations(
        self, request: observing_pb2.ListObservationsRequest, context: _Context
    ) -> observing_pb2.ListObservationsResponse:
        """Those in force."""
        return observing_pb2.ListObservationsResponse(
            observations=[observation_out(one) for one in self._observing.in_force()]
        )

    async def StartShadow(
        self, request: observing_pb2.StartShadowRequest, context: _Context
    ) -> observing_pb2.StartShadowResponse:
        """Ask a second policy about live calls."""
        report = await self._shadow.start(
            authenticated(),
            dict(request.files),
            preset=request.preset,
            drop_families=request.drop_families,
            reason=request.reason,
        )
        return observing_pb2.StartShadowResponse(shadow=shadow_out(report))

    async def StopShadow(
        self, request: observing_pb2.StopShadowRequest, context: _Context
    ) -> observing_pb2.StopShadowResponse:
        """Ask it no more."""
        report = await self._shadow.stop(authenticated(), reason=request.reason)
        return observing_pb2.StopShadowResponse(shadow=shadow_out(report))

    async def GetShadow(
        self, request: observing_pb2.GetShadowRequest, context: _Context
    ) -> observing_pb2.GetShadowResponse:
        """The one that is on and what differs."""
        return observing_pb2.GetShadowResponse(shadow=shadow_out(await self._shadow.report()))
