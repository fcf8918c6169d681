"""The async client: what a host and an agent say to the broker, and the outcomes they get."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from broker.sdk.configuration import settings_from
from broker.sdk.files import Download, artefact_from, source_of, upload_requests, write
from broker.sdk.line import Line
from broker.sdk.messages import Context, invoke_request, mandate_request, tool_from
from broker.sdk.methods import (
    ADD_WORDS,
    CLOSE_SESSION,
    CREATE_ARTEFACT,
    CREATE_MANDATE,
    INVOKE,
    LIST_ARTEFACTS,
    LIST_TOOLS,
    OPEN_SESSION,
    READ_ARTEFACT,
    REVOKE_SESSION,
)
from broker.sdk.outcomes import Outcome
from broker.sdk.patience import INVOKE_DEADLINE_S, Clock, SystemClock
from broker.sdk.permits import Permit, new_taker, run_local, take
from broker.sdk.transport import GrpcTransport, Transport
from broker.sdk.values import Artefact, Principal, Scope, Tool
from broker.v1 import broker_pb2, host_pb2


def connect(
    address: str | None = None,
    *,
    host_token: str | None = None,
    agent_token: str | None = None,
    ca_file: str | Path | None = None,
) -> "Broker":
    """Makes the async client, to be entered with `async with`.

    Args:
        address: `host:port`; CALLBROKER_ADDRESS, else 127.0.0.1:7400, where left out.
        host_token: CALLBROKER_HOST_TOKEN where left out; needed by create_mandate.
        agent_token: CALLBROKER_AGENT_TOKEN where left out; needed by all else.
        ca_file: CALLBROKER_CA_FILE where left out; needed off this machine.

    Raises:
        PlaintextRefused: the address is not this machine and there is no CA file.
    """
    settings = settings_from(address=address, ca_file=ca_file, host=host_token, agent=agent_token)
    return Broker(GrpcTransport(settings))


class Broker:
    """A connection for hosts and agents. Made by `connect`; closed by leaving `async with`."""

    def __init__(self, transport: Transport, *, clock: Clock | None = None) -> None:
        self._transport = transport
        self._line = Line(transport, clock or SystemClock())

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends what is under way; calls that the broker has taken up go on there."""
        await self._transport.close()

    async def create_mandate(
        self,
        *,
        principal: str | Principal,
        agent: str,
        words: str | Sequence[str] = (),
        scopes: Sequence[str | Scope] = (),
        groups: Sequence[str] = (),
        context: Context = "open",
        session_life_s: float | None = None,
        parent_session: str = "",
    ) -> "Mandate":
        """Orders one session. For hosts alone: they say who the user is and what they typed.

        Args:
            principal: whose authority the session uses, such as `customers/c-204`.
            agent: `agents/{id}`; only this agent can open the session.
            words: what the user typed so far, and nothing that they did not type.
            scopes: narrows what principal and agent hold; it cannot widen. None means none.
            groups: the principal's groups, whose grants count too.
            context: `mediated` if the model reads nothing but the words and what passes the
                broker, else `open`.
            session_life_s: how long the session may last at most; a day where left out.
            parent_session: name of the session that this one goes on from, of the same principal
                and host; what its model has seen counts as seen here.

        Raises:
            BrokerError: Unauthenticated, NotPermitted, MalformedRequest, Unavailable.
        """
        request = mandate_request(
            principal=principal,
            groups=groups,
            agent=agent,
            context=context,
            words=words,
            scopes=scopes,
            session_life_s=session_life_s,
            parent_session=parent_session,
        )
        answer = await self._line.ask(CREATE_MANDATE, request)
        return Mandate(
            name=answer.name,
            secret=answer.secret,
            expires_at=answer.expire_time.ToDatetime(UTC),
            line=self._line,
        )

    async def open_session(self, mandate: "Mandate | str") -> "Session":
        """Redeems a mandate, or its secret, once. For the agent that it names.

        Raises:
            BrokerError: NotFound where it was redeemed before, is too old or another agent's.
        """
        secret = mandate if isinstance(mandate, str) else mandate.secret
        request = broker_pb2.OpenSessionRequest(mandate_secret=secret)
        answer = await self._line.ask(OPEN_SESSION, request)
        return Session(
            name=answer.name,
            secret=answer.secret,
            expires_at=answer.expire_time.ToDatetime(UTC),
            line=self._line,
        )

    async def invocation(self, name: str) -> Outcome:
        """Where one of this agent's calls is now, asked from any process with its token.

        Raises:
            BrokerError: NotFound, Unauthenticated, Unavailable.
        """
        return await self._line.now(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """The host's order for one session.

    Attributes:
        name: `mandates/{uuid}`.
        secret: for the agent, once; whoever has it and the agent's token opens the session.
        expires_at: not redeemable after this.
    """

    name: str
    secret: str = field(repr=False)
    expires_at: datetime
    line: Line = field(repr=False, compare=False)

    async def add_words(self, text: str) -> None:
        """Adds what the user typed later; calls that are decided from now on see it."""
        await self.line.ask(ADD_WORDS, host_pb2.AddWordsRequest(mandate=self.name, words=[text]))

    async def revoke(self, reason: str) -> None:
        """Ends the session, or the mandate if it was not redeemed yet."""
        await self.line.ask(
            REVOKE_SESSION, host_pb2.RevokeSessionRequest(mandate=self.name, reason=reason)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One task of one agent for one principal. `async with session` closes it at the end.

    Attributes:
        name: `sessions/{uuid}`.
        expires_at: its end at the latest; half an hour without a call ends it too.
    """

    name: str
    secret: str = field(repr=False)
    expires_at: datetime
    line: Line = field(repr=False, compare=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def list_tools(self) -> list[Tool]:
        """What this session may use, by name."""
        tools: list[Tool] = []
        page_token = ""
        while True:
            request = broker_pb2.ListToolsRequest(
                session=self.name, session_secret=self.secret, page_token=page_token
            )
            answer = await self.line.ask(LIST_TOOLS, request)
            tools.extend(map(tool_from, answer.tools))
            page_token = answer.next_page_token
            if not page_token:
                return tools

    async def invoke(
        self,
        tool: str,
        arguments: Mapping[str, Any] | bytes,
        *,
        request_id: str | None = None,
        wait_s: float = 0.0,
        deadline_s: float = INVOKE_DEADLINE_S,
    ) -> Outcome:
        """Asks for a call to be decided and carried out.

        Args:
            tool: its name.
            arguments: a mapping of JSON values, or the bytes of a JSON object as a model wrote it.
            request_id: unique in the session; the same id with the same call gives the same
                invocation. Made up where left out; give the model's own call id if there is one.
            wait_s: how long to wait for a person before answering Held; at most 60.
            deadline_s: for the answer, on top of wait_s. The call goes on past it.

        Raises:
            TypeError: the arguments are not JSON.
            BrokerError: there is no answer. After Unavailable, repeat with the same request_id.
        """
        request = invoke_request(
            session=self.name,
            secret=self.secret,
            tool=tool,
            arguments=arguments,
            request_id=request_id or secrets.token_hex(16),
            wait_s=wait_s,
        )
        answer = await self.line.ask(INVOKE, request, deadline_s=deadline_s + wait_s)
        return self.line.outcome(answer.invocation)

    async def permit(
        self,
        tool: str,
        arguments: Mapping[str, Any] | bytes,
        *,
        request_id: str | None = None,
        wait_s: float = 0.0,
    ) -> "Permit | Outcome":
        """Asks for a call to be decided that this process then executes itself, on the permit.

        Args:
            tool: its name; one that is `executed_by_caller`.
            arguments: as of `invoke`; what the permit says is what is to be executed.
            request_id: as of `invoke`.
            wait_s: how long to wait for a person and then for the permit. A held call is released
                only while this waits.

        Returns:
            The permit, whose outcome must be told; or the outcome, where there is none.

        Raises:
            BrokerError: there is no answer, and this process has no permit.
        """
        request = invoke_request(
            session=self.name,
            secret=self.secret,
            tool=tool,
            arguments=arguments,
            request_id=request_id or secrets.token_hex(16),
            wait_s=0.0,
            taker=new_taker(),
        )
        return await take(self.line, request, wait_s=wait_s)

    async def run_local(
        self,
        tool: str,
        arguments: Mapping[str, Any] | bytes,
        function: Callable[..., Any],
        *,
        request_id: str | None = None,
        wait_s: float = 0.0,
    ) -> Outcome:
        """The same with the execution: calls the function, if it may, and tells how it ended.

        `ToolFailed` says that nothing took effect; of any other error the broker learns the class.

        Args:
            tool: as of `permit`.
            arguments: as of `permit`.
            function: is given the arguments that were decided on, by name; returns JSON.
            request_id: as of `permit`.
            wait_s: as of `permit`.

        Raises:
            OutcomeUnstored: it was executed, and the broker may not know. Do not repeat it.
            BrokerError: any other: nothing was executed.
        """
        permit = await self.permit(tool, arguments, request_id=request_id, wait_s=wait_s)
        return await run_local(permit, function) if isinstance(permit, Permit) else permit

    async def upload(
        self, source: str | PathLike[str] | bytes, *, name: str | None = None
    ) -> Artefact:
        """Puts a file into the session; its name is then what arguments name it by.

        Args:
            source: a path, or the bytes themselves; at most 8 MiB.
            name: one plain name; needed with bytes, else the path's last part.

        Raises:
            TypeError: bytes without a name.
            OSError: the file cannot be read.
            BrokerError: MalformedRequest for a name that is none, LimitExceeded where it is too
                large or the session is full; after Unavailable it may be there, under a name that
                nobody was told.
        """
        called, content = await asyncio.to_thread(source_of, source, name)
        requests = upload_requests(
            session=self.name, secret=self.secret, name=called, content=content
        )
        answer = await self.line.send(CREATE_ARTEFACT, requests)
        return artefact_from(answer.artefact)

    async def artefacts(self) -> list[Artefact]:
        """The session's files, oldest first."""
        found: list[Artefact] = []
        page_token = ""
        while True:
            request = broker_pb2.ListArtefactsRequest(
                session=self.name, session_secret=self.secret, page_token=page_token
            )
            answer = await self.line.ask(LIST_ARTEFACTS, request)
            found.extend(map(artefact_from, answer.artefacts))
            page_token = answer.next_page_token
            if not page_token:
                return found

    async def read(self, artefact: Artefact | str) -> bytes:
        """What is in one of the session's files, checked against its digest.

        Raises:
            BrokerError: NotFound where it is another session's, or there is none.
        """
        request = broker_pb2.ReadArtefactRequest(
            session=self.name,
            session_secret=self.secret,
            name=artefact if isinstance(artefact, str) else artefact.name,
        )
        download = Download()
        async with aclosing(self.line.receive(READ_ARTEFACT, request)) as answers:
            async for answer in answers:
                download.take(answer)
        return download.whole()

    async def save(self, artefact: Artefact, path: str | PathLike[str]) -> Path:
        """Writes one of the session's files to disk, where there is none yet.

        Args:
            artefact: which.
            path: of the file, or of a directory that it is put into under its own name.

        Returns:
            Where it is.

        Raises:
            FileExistsError: there is one.
        """
        content = await self.read(artefact)
        return await asyncio.to_thread(write, artefact, content, path)

    async def close(self) -> None:
        """Ends the session; what waits for people is withdrawn."""
        await self.line.ask(
            CLOSE_SESSION, broker_pb2.CloseSessionRequest(name=self.name, secret=self.secret)
        )
