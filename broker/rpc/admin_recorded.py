"""AdminService's part about past decisions: what was asked and what was said, read by pages."""

import asyncio
import json
from typing import Any

import grpc

from broker.administration.explaining import ExplainingAdministration
from broker.administration.recorded import RecordedAdministration, cursor_after
from broker.administration.reperforming import ReperformingAdministration
from broker.rpc.convert import require_text
from broker.rpc.convert_invocation import effect_out
from broker.rpc.convert_recorded import decision_out, decision_query
from broker.rpc.paging import cursor_of, page_size_of, token_of
from broker.v1 import admin_pb2, admin_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]
_DECISIONS = "decisions"


class RecordedMethods(admin_pb2_grpc.AdminServiceServicer):
    """Asks `RecordedAdministration` on behalf of an operator or auditor."""

    _recorded: RecordedAdministration
    _explaining: ExplainingAdministration
    _reperforming: ReperformingAdministration

    async def GetRecordedDecision(
        self, request: admin_pb2.GetRecordedDecisionRequest, context: _Context
    ) -> admin_pb2.GetRecordedDecisionResponse:
        """What a call was decided on, and what every stage said."""
        require_text(request.name, field="name")
        found = await self._recorded.find(request.name, entry=request.entry)
        return admin_pb2.GetRecordedDecisionResponse(decision=decision_out(found))

    async def ListRecordedDecisions(
        self, request: admin_pb2.ListRecordedDecisionsRequest, context: _Context
    ) -> admin_pb2.ListRecordedDecisionsResponse:
        """A page of decisions."""
        query = decision_query(
            request,
            page_size=page_size_of(request.page_size),
            before=cursor_of(request.page_token, listing=_DECISIONS),
        )
        found, last = await self._recorded.page(query)
        # A page can be a megabyte, and calls wait for this loop.
        told = await asyncio.to_thread(lambda: [decision_out(decision) for decision in found])
        return admin_pb2.ListRecordedDecisionsResponse(
            decisions=told,
            next_page_token="" if last is None else token_of(_DECISIONS, cursor_after(last)),
        )

    async def ExplainInvocation(
        self, request: admin_pb2.ExplainInvocationRequest, context: _Context
    ) -> admin_pb2.ExplainInvocationResponse:
        """Why policy said what it said of a call."""
        require_text(request.name, field="name")
        found = await self._explaining.explain(
            request.name, entry=request.entry, policy_revision=request.policy_revision
        )
        return admin_pb2.ExplainInvocationResponse(
            decision=decision_out(found.decision),
            explanation_json=json.dumps(found.explanation).encode("utf-8"),
        )

    async def ReperformInvocation(
        self, request: admin_pb2.ReperformInvocationRequest, context: _Context
    ) -> admin_pb2.ReperformInvocationResponse:
        """Whether a call was decided as the log says."""
        require_text(request.name, field="name")
        again = await self._reperforming.reperform(request.name, entry=request.entry)
        return admin_pb2.ReperformInvocationResponse(
            decision=decision_out(again.decision),
            effect=effect_out(again.effect),
            stages=[
                admin_pb2.ReperformedStage(stage=c.stage, agrees=c.agrees, told=c.told)
                for c in again.checks
            ],
            agrees=again.agrees,
        )
