"""The record of a call for the wire, as its agent may see it, with the files that it released."""

from collections.abc import Iterable
from typing import Final

from broker.core.artefacts import Artefact
from broker.core.calls import Invocation
from broker.core.decision import Effect
from broker.core.labels import Sensitivity, Trust
from broker.core.lifecycle import InvocationState
from broker.core.screening import visible_reasons
from broker.rpc.convert import malformed, timestamp
from broker.v1 import types_pb2

_EFFECTS = {
    Effect.DENY: types_pb2.EFFECT_DENY,
    Effect.HOLD: types_pb2.EFFECT_HOLD,
    Effect.ALLOW: types_pb2.EFFECT_ALLOW,
}
_TRUST: Final[dict[Trust, types_pb2.Artefact.Trust.ValueType]] = {
    "trusted": types_pb2.Artefact.TRUST_TRUSTED,
    "untrusted": types_pb2.Artefact.TRUST_UNTRUSTED,
}
_SENSITIVITY: Final[dict[Sensitivity, types_pb2.Artefact.Sensitivity.ValueType]] = {
    "none": types_pb2.Artefact.SENSITIVITY_NONE,
    "personal": types_pb2.Artefact.SENSITIVITY_PERSONAL,
    "secret": types_pb2.Artefact.SENSITIVITY_SECRET,
}


def effect_out(effect: Effect) -> types_pb2.Effect.ValueType:
    """An effect for the wire."""
    return _EFFECTS[effect]


def effect_named(name: str) -> types_pb2.Effect.ValueType:
    """The same of an effect's name; unspecified for any other text."""
    return _EFFECTS[Effect[name]] if name in Effect.__members__ else types_pb2.EFFECT_UNSPECIFIED


def state_out(state: InvocationState) -> types_pb2.Invocation.State.ValueType:
    """A state for the wire."""
    return types_pb2.Invocation.State.Value(f"STATE_{state.value}")


def state_in(number: types_pb2.Invocation.State.ValueType) -> InvocationState | None:
    """A state from the wire; None where it was left out.

    Raises:
        MalformedRequest: this release has none of this number.
    """
    if number == types_pb2.Invocation.STATE_UNSPECIFIED:
        return None
    try:
        name = types_pb2.Invocation.State.Name(number)
    except ValueError:
        raise malformed("state", "There is no such state.") from None
    return InvocationState(name.removeprefix("STATE_"))


def invocation_out(invocation: Invocation) -> types_pb2.Invocation:
    """The record as its agent may see it."""
    message = summary_out(invocation)
    message.arguments_json = invocation.call.canonical
    message.result_json = invocation.result or b""
    message.asked_arguments_json = invocation.asked.canonical if invocation.asked else b""
    return message


def summary_out(invocation: Invocation) -> types_pb2.Invocation:
    """The record without arguments and result."""
    decision = invocation.decision
    held = invocation.state is InvocationState.HELD
    return types_pb2.Invocation(
        name=invocation.name,
        session=invocation.session,
        request_id=invocation.request_id,
        tool=invocation.call.tool,
        digest=invocation.call.digest,
        state=state_out(invocation.state),
        effect=effect_out(decision.effect) if decision else types_pb2.EFFECT_UNSPECIFIED,
        reasons=_reasons(invocation),
        code=invocation.code,
        message=invocation.message,
        hold=invocation.hold if held else "",
        etag=str(invocation.etag),
        create_time=timestamp(invocation.created_at),
        update_time=timestamp(invocation.updated_at),
        result_withheld=_is_withheld(invocation),
        artefacts=[artefact_out(artefact) for artefact in invocation.artefacts],
        reported_by=invocation.reported_by,
        erase_time=timestamp(invocation.erased.at) if invocation.erased else None,
        erased_by=invocation.erased.by if invocation.erased else "",
    )


def observed_out(invocation: Invocation) -> list[types_pb2.Observed]:
    """What observed families said, for operators and reviewers."""
    decision = invocation.decision
    return [
        types_pb2.Observed(
            family=verdict.family,
            effect=effect_out(verdict.effect),
            code=verdict.code,
            message=verdict.message,
        )
        for verdict in (decision.observed if decision else ())
    ]


def artefact_out(artefact: Artefact) -> types_pb2.Artefact:
    """What is known of a file."""
    return types_pb2.Artefact(
        name=artefact.name,
        session=artefact.session,
        made_by=artefact.made_by,
        file_name=artefact.file_name,
        size_bytes=artefact.size,
        sha256=artefact.sha256,
        trust=_TRUST[artefact.labels.trust],
        sensitivity=_SENSITIVITY[artefact.labels.sensitivity],
        create_time=timestamp(artefact.created_at),
        expire_time=timestamp(artefact.expires_at),
    )


def _reasons(invocation: Invocation) -> Iterable[types_pb2.Reason]:
    decision = invocation.decision
    if decision is None or decision.effect is Effect.ALLOW:
        return ()
    return tuple(
        types_pb2.Reason(code=code, message=message, pointer=pointer)
        for code, message, pointer in visible_reasons(decision)
    )


def _is_withheld(invocation: Invocation) -> bool:
    """A call that ran and has a code has a result that is not released; the code says why."""
    if invocation.erased is not None:
        return False
    succeeded = invocation.state is InvocationState.SUCCEEDED
    return succeeded and invocation.result is None and bool(invocation.code)
