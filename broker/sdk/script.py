"""A broker that decides by script: no network, no policy, and the same record for the same id.

It keeps what an application's own tests lean on: a mandate opens one session, a request id names
one call for ever, a held call waits, an ended one stays ended. Pure but for its own memory;
`broker.sdk.testing` puts the two clients on it.
"""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from broker.sdk.encoding import from_json, to_json
from broker.sdk.errors import IllegalTransition, MalformedRequest, NotFound, RequestIdReused
from broker.sdk.narrowed import put
from broker.sdk.script_files import MADE_BY_AGENT, ScriptedFiles, uploaded
from broker.v1 import broker_pb2, host_pb2, types_pb2

State = types_pb2.Invocation.State
PERMIT_S: Final = 30
_TOOL_UNAVAILABLE: Final = ("TOOL_UNAVAILABLE", "This tool is not available to this task.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What becomes of one call.

    Attributes:
        state: where it ends, or HELD.
        result: JSON value, or a function of the arguments that returns one.
        files: what it leaves, by file name.
        less: what a reviewer put in place of what was asked, by JSON Pointer.
        then: where a held call goes once somebody waits for it; None keeps it waiting.
        has_permit: RUNNING, it is for the agent's own process to execute.
    """

    state: State.ValueType
    code: str = ""
    message: str = ""
    result: Any | Callable[[dict[str, Any]], Any] = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    less: Mapping[str, Any] = field(default_factory=dict)
    then: "Step | None" = None
    has_permit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedCall:
    """A call that was asked for, as the tests of an application look at it."""

    tool: str
    arguments: dict[str, Any]
    request_id: str
    session: str


@dataclass(slots=True)
class _Known:
    invocation: types_pb2.Invocation
    asked: dict[str, Any]
    arguments: dict[str, Any]
    files: ScriptedFiles
    then: Step | None = None
    taker: str = ""
    has_permit: bool = False


@dataclass(slots=True)
class Script:
    """The state of a scripted broker.

    Attributes:
        steps: by tool; the last one of a tool is used again and again.
        offers: what list_tools answers.
        calls: what was asked, first to last, repetitions left out.
        mandates: what hosts ordered.
        words: what hosts said the user typed, all mandates together.
        files: what was uploaded, and what calls left.
    """

    steps: dict[str, list[Step]] = field(default_factory=dict)
    offers: dict[str, broker_pb2.Tool] = field(default_factory=dict)
    calls: list[ScriptedCall] = field(default_factory=list)
    mandates: list[host_pb2.CreateMandateRequest] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    files: ScriptedFiles = field(default_factory=ScriptedFiles)
    _unredeemed: set[str] = field(default_factory=set)
    _open: set[str] = field(default_factory=set)
    _by_request: dict[tuple[str, str], _Known] = field(default_factory=dict)
    _by_name: dict[str, _Known] = field(default_factory=dict)

    def answer(self, request: Message) -> Message:
        """The answer to any request of a host or an agent.

        Raises:
            BrokerError: as a broker would.
        """
        return _HANDLERS[type(request)](self, request)

    def take(self, requests: Iterable[Message]) -> Message:
        """The answer to an upload.

        Raises:
            BrokerError: as a broker would.
        """
        of_upload = cast("Iterator[broker_pb2.CreateArtefactRequest]", iter(requests))
        header, content = uploaded(of_upload)
        self._require_open(header.session)
        artefact = self.files.add(header.session, MADE_BY_AGENT, header.file_name, content)
        return broker_pb2.CreateArtefactResponse(artefact=artefact)

    def give(self, request: Message) -> Iterator[Message]:
        """The answer to a request for what is in a file, or for how a call goes on.

        Raises:
            BrokerError: as a broker would.
        """
        if isinstance(request, broker_pb2.WatchInvocationRequest):
            for invocation in self.watch(request.name):
                permit = self._permit(self._find(request.name), request.permit_taker)
                yield broker_pb2.WatchInvocationResponse(invocation=invocation, permit=permit)
            return
        wanted = cast("broker_pb2.ReadArtefactRequest", request)
        self._require_open(wanted.session)
        yield from self.files.read(wanted.session, wanted.name)

    def watch(self, name: str) -> Generator[types_pb2.Invocation, None, None]:
        """The call now and, as far as its script goes on, then; ends early where it only waits."""
        known = self._find(name)
        yield _copy(known)
        while known.then is not None:
            self.settle(name, known.then)
            yield _copy(known)

    def settle(self, name: str, step: Step) -> None:
        """Takes a held call to another state.

        Raises:
            IllegalTransition: it is not held.
        """
        known = self._find(name)
        if known.invocation.state != State.STATE_HELD:
            raise IllegalTransition("The call is not held.")
        _enter(known, step)

    def create_mandate(
        self, request: host_pb2.CreateMandateRequest
    ) -> host_pb2.CreateMandateResponse:
        """See HostService."""
        self.mandates.append(request)
        self.words.extend(request.words)
        number = len(self.mandates)
        secret = f"mandate-secret-{number}"
        self._unredeemed.add(secret)
        return host_pb2.CreateMandateResponse(name=f"mandates/m-{number}", secret=secret)

    def add_words(self, request: host_pb2.AddWordsRequest) -> host_pb2.AddWordsResponse:
        """See HostService."""
        self.words.extend(request.words)
        return host_pb2.AddWordsResponse(words_count=len(self.words))

    def revoke(self, request: host_pb2.RevokeSessionRequest) -> host_pb2.RevokeSessionResponse:
        """See HostService."""
        number = request.mandate.removeprefix("mandates/m-")
        self._unredeemed.discard(f"mandate-secret-{number}")
        self._open.discard(f"sessions/s-{number}")
        return host_pb2.RevokeSessionResponse()

    def open_session(
        self, request: broker_pb2.OpenSessionRequest
    ) -> broker_pb2.OpenSessionResponse:
        """See BrokerService."""
        if request.mandate_secret not in self._unredeemed:
            raise NotFound("There is no such mandate.")
        self._unredeemed.discard(request.mandate_secret)
        number = request.mandate_secret.removeprefix("mandate-secret-")
        name = f"sessions/s-{number}"
        self._open.add(name)
        return broker_pb2.OpenSessionResponse(name=name, secret=f"session-secret-{number}")

    def close_session(
        self, request: broker_pb2.CloseSessionRequest
    ) -> broker_pb2.CloseSessionResponse:
        """See BrokerService."""
        self._open.discard(request.name)
        for known in self._by_name.values():
            invocation = known.invocation
            if invocation.session == request.name and invocation.state == State.STATE_HELD:
                _enter(known, Step(state=State.STATE_CANCELLED))
        return broker_pb2.CloseSessionResponse()

    def list_tools(self, request: broker_pb2.ListToolsRequest) -> broker_pb2.ListToolsResponse:
        """See BrokerService."""
        self._require_open(request.session)
        names = sorted({*self.offers, *self.steps})
        return broker_pb2.ListToolsResponse(
            tools=[self.offers.get(name) or broker_pb2.Tool(name=name) for name in names]
        )

    def invoke(self, request: broker_pb2.InvokeRequest) -> broker_pb2.InvokeResponse:
        """See BrokerService."""
        self._require_open(request.session)
        arguments = _parsed(request.arguments_json)
        key = (request.session, request.request_id)
        known = self._by_request.get(key)
        if known is None:
            known = self._first(request, arguments)
            self._by_request[key] = self._by_name[known.invocation.name] = known
        elif known.invocation.tool != request.tool or _differ(known.asked, arguments):
            raise RequestIdReused("This request id names another call of this session.")
        if request.HasField("hold_wait") and known.then is not None:
            self.settle(known.invocation.name, known.then)
        is_free = known.has_permit and not known.taker
        if is_free and not request.permit_taker:
            raise IllegalTransition("This is executed by the agent's own process; take its permit.")
        permit = self._permit(known, request.permit_taker)
        return broker_pb2.InvokeResponse(invocation=_copy(known), permit=permit)

    def report(self, request: broker_pb2.ReportOutcomeRequest) -> broker_pb2.ReportOutcomeResponse:
        """See BrokerService."""
        known = self._find(request.name)
        if not known.taker or request.permit_token != _token(known):
            raise NotFound("There is no such permit.")
        counted = known.invocation.state == State.STATE_RUNNING
        if counted:
            _enter(known, _reported(request))
            known.invocation.reported_by = "agent"
        return broker_pb2.ReportOutcomeResponse(invocation=_copy(known), counted=counted)

    def list_artefacts(
        self, request: broker_pb2.ListArtefactsRequest
    ) -> broker_pb2.ListArtefactsResponse:
        """See BrokerService."""
        self._require_open(request.session)
        return broker_pb2.ListArtefactsResponse(artefacts=self.files.of(request.session))

    def get(self, request: broker_pb2.GetInvocationRequest) -> broker_pb2.GetInvocationResponse:
        """See BrokerService."""
        return broker_pb2.GetInvocationResponse(invocation=_copy(self._find(request.name)))

    def cancel(
        self, request: broker_pb2.CancelInvocationRequest
    ) -> broker_pb2.CancelInvocationResponse:
        """See BrokerService."""
        self.settle(request.name, Step(state=State.STATE_CANCELLED, code="CANCELLED"))
        return broker_pb2.CancelInvocationResponse(invocation=_copy(self._find(request.name)))

    def _first(self, request: broker_pb2.InvokeRequest, arguments: dict[str, Any]) -> _Known:
        self.calls.append(
            ScriptedCall(
                tool=request.tool,
                arguments=arguments,
                request_id=request.request_id,
                session=request.session,
            )
        )
        invocation = types_pb2.Invocation(
            name=f"invocations/i-{len(self.calls)}",
            session=request.session,
            request_id=request.request_id,
            tool=request.tool,
            arguments_json=request.arguments_json,
        )
        known = _Known(invocation, arguments, arguments, self.files)
        steps = self.steps.get(request.tool)
        if not steps:
            code, message = _TOOL_UNAVAILABLE
            _enter(known, Step(state=State.STATE_DENIED, code=code, message=message))
        else:
            _enter(known, steps.pop(0) if len(steps) > 1 else steps[0])
        return known

    def _permit(self, known: _Known, taker: str) -> broker_pb2.Permit | None:
        """To the first taker of a call that is RUNNING, and again to that one."""
        if not known.has_permit or not taker:
            return None
        known.taker = known.taker or taker
        if known.taker != taker:
            return None
        return broker_pb2.Permit(
            token=_token(known), attempt=1, valid_for=Duration(seconds=PERMIT_S)
        )

    def _find(self, name: str) -> _Known:
        if name not in self._by_name:
            raise NotFound("There is no such invocation.")
        return self._by_name[name]

    def _require_open(self, session: str) -> None:
        if session not in self._open:
            raise NotFound("There is no such session, or it has ended.")


_HANDLERS: Final[Mapping[type[Message], Callable[[Script, Any], Message]]] = {
    host_pb2.CreateMandateRequest: Script.create_mandate,
    host_pb2.AddWordsRequest: Script.add_words,
    host_pb2.RevokeSessionRequest: Script.revoke,
    broker_pb2.OpenSessionRequest: Script.open_session,
    broker_pb2.CloseSessionRequest: Script.close_session,
    broker_pb2.ListToolsRequest: Script.list_tools,
    broker_pb2.InvokeRequest: Script.invoke,
    broker_pb2.GetInvocationRequest: Script.get,
    broker_pb2.ReportOutcomeRequest: Script.report,
    broker_pb2.CancelInvocationRequest: Script.cancel,
    broker_pb2.ListArtefactsRequest: Script.list_artefacts,
}


def _token(known: _Known) -> str:
    return f"permit of {known.invocation.name}"


def _reported(request: broker_pb2.ReportOutcomeRequest) -> Step:
    """Where a report takes a call; of no tool it is known here that it only reads."""
    match request.WhichOneof("outcome"):
        case "result_json":
            return Step(state=State.STATE_SUCCEEDED, result=from_json(request.result_json))
        case "failure":
            failure = request.failure
            return Step(state=State.STATE_FAILED, code=failure.code, message=failure.message)
        case _:
            return Step(state=State.STATE_UNKNOWN)


def _enter(known: _Known, step: Step) -> None:
    """Gives a call its next state; a step's result may depend on the arguments."""
    invocation = known.invocation
    invocation.state = step.state
    invocation.code = step.code
    invocation.message = step.message
    del invocation.reasons[:]
    if step.less:
        known.arguments = put(known.arguments, step.less)
        invocation.asked_arguments_json = to_json(known.asked, what="the arguments")
        invocation.arguments_json = to_json(known.arguments, what="the narrowed arguments")
    if step.code and step.state in {State.STATE_DENIED, State.STATE_HELD}:
        invocation.reasons.add(code=step.code, message=step.message)
    if step.state == State.STATE_SUCCEEDED:
        result = step.result(known.arguments) if callable(step.result) else step.result
        invocation.result_json = to_json(result, what="the scripted result")
        for name, content in step.files.items():
            left = known.files.add(invocation.session, invocation.name, name, content)
            invocation.artefacts.append(left)
    known.then = step.then
    known.has_permit = step.has_permit


def _parsed(arguments_json: bytes) -> dict[str, Any]:
    try:
        arguments = from_json(arguments_json)
    except ValueError as broken:
        raise MalformedRequest("The arguments are not JSON.") from broken
    if not isinstance(arguments, dict):
        raise MalformedRequest("The arguments are not one JSON object.")
    return cast("dict[str, Any]", arguments)


def _differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """By their JSON: to Python, 1 and true are equal."""
    return json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)


def _copy(known: _Known) -> types_pb2.Invocation:
    copy = types_pb2.Invocation()
    copy.CopyFrom(known.invocation)
    return copy
