"""The blocking client: the same names and promises as `broker.sdk.client`, word for word.

It stands on gRPC's own blocking stubs and never touches an event loop, so that any thread may use
it. What is decided rather than done (messages, outcomes, errors, pauses) is shared with the other.
"""

import secrets
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from broker.sdk.configuration import settings_from
from broker.sdk.errors import DEADLINE_EXCEEDED, LimitExceeded, Unavailable
from broker.sdk.files import Download, artefact_from, source_of, upload_requests, write
from broker.sdk.messages import Context, invoke_request, mandate_request, tool_from
from broker.sdk.methods import (
    ADD_WORDS,
    CANCEL_INVOCATION,
    CLOSE_SESSION,
    CREATE_ARTEFACT,
    CREATE_MANDATE,
    GET_INVOCATION,
    INVOKE,
    LIST_ARTEFACTS,
    LIST_TOOLS,
    OPEN_SESSION,
    READ_ARTEFACT,
    REVOKE_SESSION,
    WATCH_INVOCATION,
    A,
    Method,
    Q,
)
from broker.sdk.outcomes import Held, SyncHeld, SyncOutcome, outcome_from
from broker.sdk.patience import (
    INVOKE_DEADLINE_S,
    REPETITIONS_MAX,
    RPC_DEADLINE_S,
    TRANSFER_DEADLINE_S,
    WATCH_S,
    SyncClock,
    SyncSystemClock,
    pauses,
)
from broker.sdk.permits import new_taker
from broker.sdk.permits_sync import SyncPermit, run_local, take
from broker.sdk.transport import SyncGrpcTransport, SyncTransport
from broker.sdk.values import Artefact, Principal, Scope, Tool
from broker.v1 import broker_pb2, host_pb2, types_pb2


def connect_sync(
    address: str | None = None,
    *,
    host_token: str | None = None,
    agent_token: str | None = None,
    ca_file: str | Path | None = None,
) -> "SyncBroker":
    """Makes the blocking client, to be entered with `with`. See `connect`."""
    settings = settings_from(address=address, ca_file=ca_file, host=host_token, agent=agent_token)
    return SyncBroker(SyncGrpcTransport(settings))


class SyncBroker:
    """A connection for hosts and agents. Made by `connect_sync`; closed by leaving `with`."""

    def __init__(self, transport: SyncTransport, *, clock: SyncClock | None = None) -> None:
        self._transport = transport
        self._line = SyncLine(transport, clock or SyncSystemClock())

    def __enter__(self) -> Self:
        self._transport.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends what is under way; calls that the broker has taken up go on there."""
        self._transport.close()

    def create_mandate(
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
    ) -> "SyncMandate":
        """Orders one session. See `Broker.create_mandate`."""
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
        answer = self._line.ask(CREATE_MANDATE, request)
        return SyncMandate(
            name=answer.name,
            secret=answer.secret,
            expires_at=answer.expire_time.ToDatetime(UTC),
            line=self._line,
        )

    def open_session(self, mandate: "SyncMandate | str") -> "SyncSession":
        """Redeems a mandate, or its secret, once. See `Broker.open_session`."""
        secret = mandate if isinstance(mandate, str) else mandate.secret
        request = broker_pb2.OpenSessionRequest(mandate_secret=secret)
        answer = self._line.ask(OPEN_SESSION, request)
        return SyncSession(
            name=answer.name,
            secret=answer.secret,
            expires_at=answer.expire_time.ToDatetime(UTC),
            line=self._line,
        )

    def invocation(self, name: str) -> SyncOutcome:
        """Where one of this agent's calls is now. See `Broker.invocation`."""
        return self._line.now(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncMandate:
    """The host's order for one session. See `Mandate`."""

    name: str
    secret: str = field(repr=False)
    expires_at: datetime
    line: "SyncLine" = field(repr=False, compare=False)

    def add_words(self, text: str) -> None:
        """Adds what the user typed later; calls that are decided from now on see it."""
        self.line.ask(ADD_WORDS, host_pb2.AddWordsRequest(mandate=self.name, words=[text]))

    def revoke(self, reason: str) -> None:
        """Ends the session, or the mandate if it was not redeemed yet."""
        self.line.ask(
            REVOKE_SESSION, host_pb2.RevokeSessionRequest(mandate=self.name, reason=reason)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSession:
    """One task of one agent for one principal. See `Session`."""

    name: str
    secret: str = field(repr=False)
    expires_at: datetime
    line: "SyncLine" = field(repr=False, compare=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def list_tools(self) -> list[Tool]:
        """What this session may use, by name."""
        tools: list[Tool] = []
        page_token = ""
        while True:
            request = broker_pb2.ListToolsRequest(
                session=self.name, session_secret=self.secret, page_token=page_token
            )
            answer = self.line.ask(LIST_TOOLS, request)
            tools.extend(map(tool_from, answer.tools))
            page_token = answer.next_page_token
            if not page_token:
                return tools

    def invoke(
        self,
        tool: str,
        arguments: Mapping[str, Any] | bytes,
        *,
        request_id: str | None = None,
        wait_s: float = 0.0,
        deadline_s: float = INVOKE_DEADLINE_S,
    ) -> SyncOutcome:
        """Asks for a call to be decided and carried out. See `Session.invoke`."""
        request = invoke_request(
            session=self.name,
            secret=self.secret,
            tool=tool,
            arguments=arguments,
            request_id=request_id or secrets.token_hex(16),
            wait_s=wait_s,
        )
        answer = self.line.ask(INVOKE, request, deadline_s=deadline_s + wait_s)
        return self.line.outcome(answer.invocation)

    def permit(
        self,
        tool: str,
        arguments: Mapping[str, Any] | bytes,
        *,
        request_id: str | None = None,
        wait_s: float = 0.0,
    ) -> SyncPermit | SyncOutcome:
        """Asks for a call that this process then executes itself. See `Session.permit`."""
        request = invoke_request(
            session=self.name,
            secret=self.secret,
            tool=tool,
            arguments=arguments,
            request_id=request_id or secrets.token_hex(16),
            wait_s=0.0,
            taker=new_taker(),
        )
        return take(self.line, request, wait_s=wait_s)

    def run_local(
        self,
        tool: str,
        arguments: Mapping[str, Any] | bytes,
        function: Callable[..., Any],
        *,
        request_id: str | None = None,
        wait_s: float = 0.0,
    ) -> SyncOutcome:
        """The same with the execution. See `Session.run_local`."""
        permit = self.permit(tool, arguments, request_id=request_id, wait_s=wait_s)
        return run_local(permit, function) if isinstance(permit, SyncPermit) else permit

    def upload(self, source: str | PathLike[str] | bytes, *, name: str | None = None) -> Artefact:
        """Puts a file into the session. See `Session.upload`."""
        called, content = source_of(source, name)
        requests = upload_requests(
            session=self.name, secret=self.secret, name=called, content=content
        )
        return artefact_from(self.line.send(CREATE_ARTEFACT, requests).artefact)

    def artefacts(self) -> list[Artefact]:
        """The session's files, oldest first."""
        found: list[Artefact] = []
        page_token = ""
        while True:
            request = broker_pb2.ListArtefactsRequest(
                session=self.name, session_secret=self.secret, page_token=page_token
            )
            answer = self.line.ask(LIST_ARTEFACTS, request)
            found.extend(map(artefact_from, answer.artefacts))
            page_token = answer.next_page_token
            if not page_token:
                return found

    def read(self, artefact: Artefact | str) -> bytes:
        """What is in one of the session's files. See `Session.read`."""
        request = broker_pb2.ReadArtefactRequest(
            session=self.name,
            session_secret=self.secret,
            name=artefact if isinstance(artefact, str) else artefact.name,
        )
        download = Download()
        with closing(self.line.receive(READ_ARTEFACT, request)) as answers:
            for answer in answers:
                download.take(answer)
        return download.whole()

    def save(self, artefact: Artefact, path: str | PathLike[str]) -> Path:
        """Writes one of the session's files to disk. See `Session.save`."""
        return write(artefact, self.read(artefact), path)

    def close(self) -> None:
        """Ends the session; what waits for people is withdrawn."""
        self.line.ask(
            CLOSE_SESSION, broker_pb2.CloseSessionRequest(name=self.name, secret=self.secret)
        )


class SyncLine:
    """A transport with patience; `broker.sdk.line` says what it promises."""

    def __init__(self, transport: SyncTransport, clock: SyncClock) -> None:
        self._transport = transport
        self._clock = clock

    @property
    def clock(self) -> SyncClock:
        """By which it has patience."""
        return self._clock

    def outcome(self, invocation: types_pb2.Invocation) -> SyncOutcome:
        """The outcome that a record stands for, with its Held on this line."""
        return outcome_from(invocation, lambda **record: SyncHeld(line=self, **record))

    def ask(self, method: Method[Q, A], request: Q, *, deadline_s: float = RPC_DEADLINE_S) -> A:
        """Calls, and calls again where that is safe."""
        end = self._clock.monotonic() + deadline_s
        repetitions_left = REPETITIONS_MAX if method.repeatable else 0
        nothing_ran = True
        for pause_s in pauses():
            left_s = end - self._clock.monotonic()
            try:
                return self._transport.call(method, request, deadline_s=left_s)
            except Unavailable as error:
                nothing_ran = error.nothing_ran = nothing_ran and error.nothing_ran
                if not repetitions_left or self._clock.monotonic() + pause_s >= end:
                    raise
            repetitions_left -= 1
            self._clock.sleep(pause_s)
        raise AssertionError

    def send(self, method: Method[Q, A], requests: Iterable[Q]) -> A:
        """Sends a file, once."""
        return self._transport.send(method, requests, deadline_s=TRANSFER_DEADLINE_S)

    def receive(self, method: Method[Q, A], request: Q) -> Generator[A, None, None]:
        """What comes of a file."""
        return self._transport.receive(method, request, deadline_s=TRANSFER_DEADLINE_S)

    def watch(
        self, request: broker_pb2.WatchInvocationRequest, *, deadline_s: float
    ) -> Generator[broker_pb2.WatchInvocationResponse, None, None]:
        """A call now and at each change, by one stream; the deadline is its ordinary end."""
        answers = self._transport.receive(WATCH_INVOCATION, request, deadline_s=deadline_s)
        try:
            with closing(answers):
                yield from answers
        except Unavailable as error:
            if error.reason == DEADLINE_EXCEEDED:
                return
            raise
        raise Unavailable("The stream ended early.")

    def now(self, name: str, *, deadline_s: float = RPC_DEADLINE_S) -> SyncOutcome:
        """Where a call is."""
        request = broker_pb2.GetInvocationRequest(name=name)
        return self.outcome(self.ask(GET_INVOCATION, request, deadline_s=deadline_s).invocation)

    def cancel(self, name: str) -> SyncOutcome:
        """Takes a call back."""
        request = broker_pb2.CancelInvocationRequest(name=name)
        return self.outcome(self.ask(CANCEL_INVOCATION, request).invocation)

    def follow(self, held: SyncHeld, timeout_s: float) -> SyncOutcome:
        """Waits for the end by stream, and by asking wherever the stream breaks."""
        if timeout_s <= 0:
            return self.now(held.name)
        end = self._clock.monotonic() + timeout_s
        latest: SyncOutcome = held
        pause = pauses()
        while isinstance(latest, Held) and (left_s := end - self._clock.monotonic()) > 0:
            try:
                latest = self._watched(held.name, latest, min(left_s, WATCH_S))
                pause = pauses()
            except (Unavailable, LimitExceeded):
                self._clock.sleep(min(next(pause), left_s))
                latest = self._polled(held.name, latest, end)
        return latest

    def _watched(self, name: str, latest: SyncOutcome, deadline_s: float) -> SyncOutcome:
        request = broker_pb2.WatchInvocationRequest(name=name)
        with closing(self.watch(request, deadline_s=deadline_s)) as answers:
            for answer in answers:
                latest = self.outcome(answer.invocation)
                if not isinstance(latest, Held):
                    break
        return latest

    def _polled(self, name: str, latest: SyncOutcome, end: float) -> SyncOutcome:
        left_s = end - self._clock.monotonic()
        try:
            return self.now(name, deadline_s=left_s) if left_s > 0 else latest
        except Unavailable:
            return latest
