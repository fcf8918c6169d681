"""`callbroker invocations`: what was decided, as it happens and afterwards."""

import enum
import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer
from rich.text import Text

from broker.cli.connection import Line, administering, looking
from broker.cli.erased_line import erased_line
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.files import file_line
from broker.cli.json_output import enum_word, plain, print_json, print_json_line
from broker.cli.names import full, resolve, short
from broker.cli.observed import observed_lines
from broker.cli.options import AsJson, group
from broker.cli.screen import (
    Around,
    around,
    beside,
    columns,
    labelled,
    list_width,
    ours,
    say,
    shown_before,
    state,
    table,
    theirs,
)
from broker.cli.story import story_picture
from broker.cli.times import clock, epoch
from broker.v1 import admin_pb2
from broker.v1.admin_pb2 import InvocationSummary
from broker.v1.admin_pb2_grpc import AdminServiceStub
from broker.v1.types_pb2 import Effect, Invocation

PAGE_SIZE: Final = 200
LOOKED_THROUGH_MAX: Final = 20_000
_INDENT: Final = 9
_REPORTED: Final = {"agent": "by the agent, which executed it itself: its own word alone"}
_RESULT_BYTES_MAX: Final = 1024 * 1024

app = group("Calls that were decided.")

Name = Annotated[
    str, typer.Argument(metavar="CALL", help="As `invocations list` prints it, or the full name.")
]


class State(enum.StrEnum):
    """Where a call can be."""

    DENIED = "denied"
    HELD = "held"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@app.command("list", epilog="Example: callbroker invocations list --tool refund --state held")
def list_invocations(
    *,
    session: Annotated[str, typer.Option(help="Only this session.")] = "",
    tool: Annotated[str, typer.Option(help="Only this tool.")] = "",
    principal: Annotated[str, typer.Option(help="Only this principal.")] = "",
    in_state: Annotated[State | None, typer.Option("--state", help="Only in this state.")] = None,
    most: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Calls, newest first."""
    with looking() as line:
        request = admin_pb2.ListInvocationsRequest(
            session=_session(line, session) if session else "",
            tool=tool,
            principal=principal,
            state=_number(in_state),
        )
        calls = list(itertools.islice(_all(line, request), most))
    if as_json:
        print_json({"invocations": [plain(call) for call in calls]})
        return
    shown = around()
    say(*list_picture(calls, shown, width=list_width(shown)))
    if not calls:
        say("No such call.")


@app.command(epilog="Example: callbroker invocations show i-9c2e01ab")
def show(name: Name, *, as_json: AsJson = False) -> None:
    """One call and what became of it.

    `audit show` tells every entry in full.
    """
    with looking() as line:
        request = admin_pb2.ShowInvocationRequest(name=resolved(line, name))
        told = line.ask(line.stub.ShowInvocation, request)
    if as_json:
        print_json(plain(told))
        return
    shown = around()
    say(*call_picture(told.invocation, shown))
    say(*story_picture(told.entries_json, shown))


@app.command(epilog="Example: callbroker invocations tail --json | tee calls.jsonl")
def tail(*, as_json: AsJson = False) -> None:
    """Each call as it is decided and as it ends, until Ctrl-C."""
    try:
        with looking() as line:
            for told in line.follow(line.stub.TailInvocations, admin_pb2.TailInvocationsRequest()):
                if as_json:
                    print_json_line(plain(told.invocation))
                else:
                    shown = around()
                    say(*tail_lines(told.invocation, shown, width=list_width(shown)))
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.OK) from None


@app.command(
    epilog='Example: callbroker invocations reconcile i-9c2e01ab --failed --evidence "No such '
    'payment at the bank."'
)
def reconcile(
    name: Name,
    *,
    evidence: Annotated[str, typer.Option(help="What shows it; it is kept in the log.")],
    took_effect: Annotated[
        bool | None,
        typer.Option("--succeeded/--failed", help="Whether the call took effect."),
    ] = None,
    result: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(help="A file with the JSON of its result, where it succeeded."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Settle a call whose outcome is unknown, with evidence.

    Nobody does so for their own request or their own agent's.
    """
    if took_effect is None:
        raise CommandFailed(
            "Say --succeeded if the call took effect, or --failed if it did not.",
            exit_code=ExitCode.USAGE,
        )
    with administering() as line:
        request = admin_pb2.ReconcileInvocationRequest(
            name=resolved(line, name),
            took_effect=took_effect,
            evidence=evidence,
            result_json=b"" if result is None else result.read(_RESULT_BYTES_MAX + 1),
        )
        settled = line.ask(line.stub.ReconcileInvocation, request).invocation
    if as_json:
        print_json(plain(settled))
    else:
        say(ours(short(settled.name), "bold") + ours(" is ") + _state(settled) + ours("."))


def list_picture(calls: Sequence[InvocationSummary], shown: Around, *, width: int) -> list[Text]:
    """The lines of `invocations list`."""
    if not calls:
        return []
    rows = [
        [
            ours(short(call.invocation.name), "bold"),
            ours(_clock(call, shown)),
            _state(call.invocation),
            theirs(call.invocation.tool),
            theirs(call.principal),
            shown_before(call.summary),
            _why(call),
        ]
        for call in calls
    ]
    headers = ("Call", "Asked", "State", "Tool", "For", "What", "Why")
    return table(headers, rows, width=width, below=headers.index("What"))


def call_picture(call: InvocationSummary, shown: Around) -> list[Text]:
    """What the record itself says."""
    invocation, width = call.invocation, min(shown.width, 100)
    what = shown_before(call.summary or invocation.tool, "bold")
    asked = ours(f", asked {_clock(call, shown)}")
    lines = beside(what, _state(invocation) + asked, width=width)
    for_whom = theirs(call.principal) + ours(", through ") + theirs(call.agent)
    where = ours(", ") + ours(short(invocation.session))
    lines += labelled("For", for_whom + where, indent=_INDENT, width=width)
    effect = state(enum_word(Effect.DESCRIPTOR, invocation.effect))
    reasons = [theirs(f"{r.message} {r.code}") for r in invocation.reasons] or [ours("")]
    for number, reason in enumerate(reasons):
        value = effect + ours("  ") + reason if number == 0 else reason
        lines += labelled("" if number else "Decided", value, indent=_INDENT, width=width)
    for number, said in enumerate(observed_lines(call.observed)):
        lines += labelled("" if number else "Observed", said, indent=_INDENT, width=width)
    already = [(r.code, r.message) for r in invocation.reasons]
    told = (invocation.code, invocation.message)
    if any(told) and told not in already:
        said = theirs(f"{invocation.message} {invocation.code}".strip())
        lines += labelled("Outcome", said, indent=_INDENT, width=width)
    if invocation.reported_by:
        said = ours(_REPORTED.get(invocation.reported_by, f"by {invocation.reported_by}"), "yellow")
        lines += labelled("Reported", said, indent=_INDENT, width=width)
    for said in erased_line(invocation, shown):
        lines += labelled("Erased", said, indent=_INDENT, width=width)
    for number, left in enumerate(invocation.artefacts):
        lines += labelled("" if number else "Files", file_line(left), indent=_INDENT, width=width)
    if invocation.hold:
        hold = f"{short(invocation.hold)}: callbroker holds show {short(invocation.hold)}"
        lines += labelled("Hold", ours(hold), indent=_INDENT, width=width)
    names = f"{invocation.name}  request {invocation.request_id}"
    return lines + labelled("Name", theirs(names), indent=_INDENT, width=width)


def tail_lines(call: InvocationSummary, shown: Around, *, width: int) -> list[Text]:
    """One call on one line; what an agent wrote is folded beside the call's name, never below."""
    invocation = call.invocation
    at = clock(epoch(invocation.update_time), now=shown.now, zone=shown.zone)
    word = _state(invocation)
    word.pad_right(max(0, 9 - word.cell_len))
    what = shown_before(call.summary or invocation.tool)
    why = ours("  ") + _why(call) if invocation.code or call.observed else ours("")
    head = ours(f"{at}  {short(invocation.name)}  ")
    return columns([[head + word, theirs(call.principal) + ours("  ") + what + why]], width=width)


def resolved(line: Line[AdminServiceStub], name: str) -> str:
    """The full name of a call, looked for among the newest ones."""
    return resolve("invocations", name, (call.invocation.name for call in _recent(line)))


def _session(line: Line[AdminServiceStub], name: str) -> str:
    return resolve("sessions", name, (call.invocation.session for call in _recent(line)))


def resolved_session(line: Line[AdminServiceStub], name: str) -> str:
    """The full name of a session, looked for among those of the newest calls."""
    return full("sessions", name) or _session(line, name)


def _recent(line: Line[AdminServiceStub]) -> Iterator[InvocationSummary]:
    everything = _all(line, admin_pb2.ListInvocationsRequest())
    return itertools.islice(everything, LOOKED_THROUGH_MAX)


def _all(
    line: Line[AdminServiceStub], request: admin_pb2.ListInvocationsRequest
) -> Iterator[InvocationSummary]:
    request.page_size = PAGE_SIZE
    while True:
        page = line.ask(line.stub.ListInvocations, request)
        yield from page.invocations
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _clock(call: InvocationSummary, shown: Around) -> str:
    return clock(epoch(call.invocation.create_time), now=shown.now, zone=shown.zone)


def _why(call: InvocationSummary) -> Text:
    """The code, and those that would have counted were their family not observed."""
    observed = [theirs(f"{one.code} (observed only)", "yellow") for one in call.observed]
    code = [theirs(call.invocation.code)] if call.invocation.code or not observed else []
    return ours(" ").join([*code, *observed])


def _state(invocation: Invocation) -> Text:
    return state(enum_word(Invocation.State.DESCRIPTOR, invocation.state))


def _number(wanted: State | None) -> Invocation.State.ValueType:
    if wanted is None:
        return Invocation.STATE_UNSPECIFIED
    return Invocation.State.Value(f"STATE_{wanted.name}")
