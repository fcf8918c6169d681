"""BrokerService: agents ask, and a refusal is an answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from broker.artefacts import Artefacts
from broker.core.calls import Caller, Invocation
from broker.core.errors import LimitExceeded
from broker.core.limits import (
    HOLD_WAIT_S_MAX,
    REQUEST_ID_CHARACTERS_MAX,
    TRANSFER_CHUNK_DEADLINE_S,
    TRANSFER_DEADLINE_S,
)
from broker.enforcer import Enforcer
from broker.invocations import Invocations
from broker.permits import Permits
from broker.rpc.convert import (
    malformed,
    require_text,
    seconds,
    timestamp,
    tool_out,
)
from broker.rpc.convert_invocation import artefact_out, invocation_out
from broker.rpc.door import authenticated
from broker.rpc.files import chunks_in, chunks_out, header_in, upload_in
from broker.rpc.paging import cursor_of, page_of, page_size_of
from broker.rpc.permitting import permit_out, report_in, taker_in
from broker.sessions import Sessions
from broker.tools.caller import Permit
from broker.v1 import broker_pb2, broker_pb2_grpc

_TOOLS = "tools"
_ARTEFACTS = "artefacts"
_OfSession: TypeAlias = (
    broker_pb2.ListToolsRequest
    | broker_pb2.GetArtefactRequest
    | broker_pb2.ReadArtefactRequest
    | broker_pb2.ListArtefactsRequest
)


class BrokerServicer(broker_pb2_grpc.BrokerServiceServicer):
    """Asks `Sessions`, `Invocations`, `Artefacts` and the `Enforcer` on behalf of an agent."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        enforcer: Enforcer,
        invocations: Invocations,
        permits: Permits,
        artefacts: Artefacts,
    ) -> None:
        self._sessions = sessions
        self._artefacts = artefacts
        self._enforcer = enforcer
        self._invocations = invocations
        self._permits = permits

    async def OpenSession(
        self,
        request: broker_pb2.OpenSessionRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.OpenSessionResponse:
        """Redeem a mandate, once."""
        require_text(request.mandate_secret, field="mandate_secret")
        session, secret = await self._sessions.open(authenticated(), request.mandate_secret)
        return broker_pb2.OpenSessionResponse(
            name=session.name, secret=secret, expire_time=timestamp(session.expires_at)
        )

    async def CloseSession(
        self,
        request: broker_pb2.CloseSessionRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.CloseSessionResponse:
        """End the session."""
        require_text(request.name, field="name")
        await self._sessions.close(authenticated(), request.name, request.secret)
        return broker_pb2.CloseSessionResponse()

    async def ListTools(
        self,
        request: broker_pb2.ListToolsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.ListToolsResponse:
        """The tools that this session may use."""
        size = page_size_of(request.page_size)
        after = cursor_of(request.page_token, listing=_TOOLS)
        caller = await self._caller(request)
        usable = self._enforcer.list_tools(caller)
        page = page_of(
            [tool for tool in usable if tool.manifest.name > after],
            size=size,
            listing=_TOOLS,
            cursor=lambda tool: tool.manifest.name,
        )
        return broker_pb2.ListToolsResponse(
            tools=[tool_out(tool) for tool in page.items], next_page_token=page.next_page_token
        )

    async def Invoke(
        self,
        request: broker_pb2.InvokeRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.InvokeResponse:
        """Have a call decided and carried out; from the record on it is the broker's own."""
        require_text(request.session, field="session")
        require_text(
            request.request_id, field="request_id", characters_max=REQUEST_ID_CHARACTERS_MAX
        )
        require_text(request.tool, field="tool")
        wait_s = seconds(request.hold_wait, field="hold_wait")
        taker = taker_in(request.permit_taker)
        caller = await self._sessions.caller(
            authenticated(), request.session, request.session_secret
        )
        with self._permits.awaited(request.session, request.request_id, taker):
            invocation = await self._enforcer.invoke(
                caller,
                request_id=request.request_id,
                tool=request.tool,
                arguments_json=request.arguments_json,
                hold_wait_s=min(wait_s, HOLD_WAIT_S_MAX),
            )
            taken = await self._permits.taken(invocation, taker)
        return broker_pb2.InvokeResponse(
            invocation=invocation_out(taken[0]), permit=self._out(taken)
        )

    async def GetInvocation(
        self,
        request: broker_pb2.GetInvocationRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.GetInvocationResponse:
        """One of this agent's invocations."""
        require_text(request.name, field="name")
        taker = taker_in(request.permit_taker)
        invocation = await self._invocations.find(authenticated(), request.name)
        await self._must_be_of_the_task(invocation, taker, request.session_secret)
        taken = await self._permits.taken(invocation, taker)
        return broker_pb2.GetInvocationResponse(
            invocation=invocation_out(taken[0]), permit=self._out(taken)
        )

    async def WatchInvocation(
        self,
        request: broker_pb2.WatchInvocationRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[broker_pb2.WatchInvocationResponse]:
        """The invocation now and after each change."""
        require_text(request.name, field="name")
        agent, taker = authenticated(), taker_in(request.permit_taker)
        with contextlib.ExitStack() as waiting:
            if taker:
                found = await self._invocations.find(agent, request.name)
                await self._must_be_of_the_task(found, taker, request.session_secret)
                waiting.enter_context(
                    self._permits.awaited(found.session, found.request_id, taker, hold=found.hold)
                )
            async for invocation in self._invocations.watch(agent, request.name):
                taken = await self._permits.taken(invocation, taker)
                yield broker_pb2.WatchInvocationResponse(
                    invocation=invocation_out(taken[0]), permit=self._out(taken)
                )

    async def _must_be_of_the_task(
        self, invocation: Invocation, taker: str, session_secret: str
    ) -> None:
        """Pass whoever takes no permit, or has the secret of the session whose call it is.

        An agent's credential is the same in all of its tasks; a permit is for one of them.
        """
        if taker:
            await self._sessions.caller(authenticated(), invocation.session, session_secret)

    async def CancelInvocation(
        self,
        request: broker_pb2.CancelInvocationRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.CancelInvocationResponse:
        """Take a held call back."""
        require_text(request.name, field="name")
        invocation = await self._invocations.cancel(authenticated(), request.name)
        return broker_pb2.CancelInvocationResponse(invocation=invocation_out(invocation))

    async def ReportOutcome(
        self,
        request: broker_pb2.ReportOutcomeRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.ReportOutcomeResponse:
        """How a call ended that the agent's own process executed."""
        reported = await self._permits.report(
            authenticated(),
            require_text(request.name, field="name"),
            require_text(request.permit_token, field="permit_token"),
            report_in(request),
        )
        return broker_pb2.ReportOutcomeResponse(
            invocation=invocation_out(reported.invocation), counted=reported.counted
        )

    async def CreateArtefact(
        self,
        request_iterator: AsyncIterator[broker_pb2.CreateArtefactRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.CreateArtefactResponse:
        """Take a file in; nobody's bytes are read before it is known whose session they are for."""
        try:
            async with asyncio.timeout(TRANSFER_CHUNK_DEADLINE_S):
                header = await header_in(request_iterator)
        except TimeoutError:
            raise malformed("header", "The header did not come in time.") from None
        caller = await self._sessions.caller(authenticated(), header.session, header.session_secret)
        chunks = chunks_in(request_iterator)
        artefact = await self._artefacts.create(caller, upload_in(header), chunks)
        return broker_pb2.CreateArtefactResponse(artefact=artefact_out(artefact))

    async def GetArtefact(
        self,
        request: broker_pb2.GetArtefactRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.GetArtefactResponse:
        """What is known of one of the session's files."""
        caller = await self._caller(request)
        found = await self._artefacts.find(caller, require_text(request.name, field="name"))
        return broker_pb2.GetArtefactResponse(artefact=artefact_out(found))

    async def ReadArtefact(
        self,
        request: broker_pb2.ReadArtefactRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[broker_pb2.ReadArtefactResponse]:
        """What is in one of the session's files, to whoever reads it in time."""
        caller = await self._caller(request)
        found = await self._artefacts.find(caller, require_text(request.name, field="name"))
        with self._artefacts.transfers.one(caller.agent.id):
            content = await self._artefacts.content(caller, found)
            until = asyncio.get_running_loop().time() + TRANSFER_DEADLINE_S
            yield broker_pb2.ReadArtefactResponse(artefact=artefact_out(found))
            for chunk in chunks_out(content):
                if asyncio.get_running_loop().time() > until:
                    raise LimitExceeded(f"A file is read within {TRANSFER_DEADLINE_S:g} s.")
                yield broker_pb2.ReadArtefactResponse(chunk=chunk)

    async def ListArtefacts(
        self,
        request: broker_pb2.ListArtefactsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.ListArtefactsResponse:
        """The session's files, oldest first."""
        size = page_size_of(request.page_size)
        after = cursor_of(request.page_token, listing=_ARTEFACTS)
        found = await self._artefacts.list(await self._caller(request))
        begin = next((i for i, one in enumerate(found, start=1) if one.name == after), 0)
        page = page_of(
            found[begin:], size=size, listing=_ARTEFACTS, cursor=lambda artefact: artefact.name
        )
        return broker_pb2.ListArtefactsResponse(
            artefacts=[artefact_out(one) for one in page.items],
            next_page_token=page.next_page_token,
        )

    def _out(self, taken: tuple[Invocation, Permit | None]) -> broker_pb2.Permit | None:
        permit = taken[1]
        return permit_out(permit, left_s=permit.left_s() if permit is not None else 0.0)

    async def _caller(self, request: _OfSession) -> Caller:
        require_text(request.session, field="session")
        return await self._sessions.caller(authenticated(), request.session, request.session_secret)
