"""BrokerService: agents ask, and a refusal is an answer."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from broker.core.limits import HOLD_WAIT_S_MAX, REQUEST_ID_CHARACTERS_MAX
from broker.enforcer import Enforcer
from broker.invocations import Invocations
from broker.rpc.convert import invocation_out, require_text, seconds, timestamp, tool_out
from broker.rpc.door import authenticated
from broker.rpc.paging import cursor_of, page_of, page_size_of
from broker.sessions import Sessions
from broker.v1 import broker_pb2, broker_pb2_grpc

_TOOLS = "tools"


class BrokerServicer(broker_pb2_grpc.BrokerServiceServicer):
    """Asks `Sessions`, `Invocations` and the `Enforcer` on behalf of an agent."""

    def __init__(self, *, sessions: Sessions, enforcer: Enforcer, invocations: Invocations) -> None:
        self._sessions = sessions
        self._enforcer = enforcer
        self._invocations = invocations

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
        require_text(request.session, field="session")
        caller = await self._sessions.caller(
            authenticated(), request.session, request.session_secret
        )
        usable = sorted(self._enforcer.list_tools(caller), key=lambda tool: tool.manifest.name)
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
        caller = await self._sessions.caller(
            authenticated(), request.session, request.session_secret
        )
        invocation = await self._enforcer.invoke(
            caller,
            request_id=request.request_id,
            tool=request.tool,
            arguments_json=request.arguments_json,
            hold_wait_s=min(wait_s, HOLD_WAIT_S_MAX),
        )
        return broker_pb2.InvokeResponse(invocation=invocation_out(invocation))

    async def GetInvocation(
        self,
        request: broker_pb2.GetInvocationRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.GetInvocationResponse:
        """One of this agent's invocations."""
        require_text(request.name, field="name")
        invocation = await self._invocations.find(authenticated(), request.name)
        return broker_pb2.GetInvocationResponse(invocation=invocation_out(invocation))

    async def WatchInvocation(
        self,
        request: broker_pb2.WatchInvocationRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[broker_pb2.WatchInvocationResponse]:
        """The invocation now and after each change."""
        require_text(request.name, field="name")
        async for invocation in self._invocations.watch(authenticated(), request.name):
            yield broker_pb2.WatchInvocationResponse(invocation=invocation_out(invocation))

    async def CancelInvocation(
        self,
        request: broker_pb2.CancelInvocationRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> broker_pb2.CancelInvocationResponse:
        """Take a held call back."""
        require_text(request.name, field="name")
        invocation = await self._invocations.cancel(authenticated(), request.name)
        return broker_pb2.CancelInvocationResponse(invocation=invocation_out(invocation))
