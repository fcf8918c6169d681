"""`callbroker status`: whether the broker can decide and carry out, and what waits for whom."""

import typer
from rich.text import Text

from broker.cli.connection import looking
from broker.cli.failures import ExitCode
from broker.cli.hold_picture import digest
from broker.cli.json_output import plain, print_json
from broker.cli.library_picture import is_to_upgrade, library_text
from broker.cli.names import short
from broker.cli.options import AsJson, group
from broker.cli.screen import Around, around, labelled, ours, say, theirs
from broker.cli.times import epoch, length
from broker.cli.trial_picture import observation_line, shadow_line
from broker.v1.admin_pb2 import (
    BrokerStatus,
    ChannelStatus,
    GetStatusRequest,
    GetStatusResponse,
    SandboxNodeStatus,
    WorkerStatus,
)

_INDENT = 9

app = group("")


@app.command(epilog="Example: callbroker status --json")
def status(*, as_json: AsJson = False) -> None:
    """How the broker is and what waits. Exit code 1 where it cannot decide."""
    with looking() as line:
        told = line.ask(line.stub.GetStatus, GetStatusRequest())
        address = line.address
    if as_json:
        print_json(plain(told))
    else:
        say(*status_picture(told, address, around()))
    if not told.policy_ready:
        raise typer.Exit(ExitCode.NO)


def status_picture(told: GetStatusResponse, address: str, shown: Around) -> list[Text]:
    """The lines of `status`."""
    up = length(shown.now - epoch(told.start_time))
    broker = theirs(f"{short(told.broker)} at {address}, release {told.version}, up {up}")
    trials = [("Observed", observation_line(one, shown)) for one in told.observations]
    if told.HasField("shadow"):
        trials.append(("Shadow", shadow_line(told.shadow, shown)))
    lines = [
        ("Broker", broker),
        *[("", _broker(b)) for b in told.brokers if b.broker != told.broker],
        ("Policy", _policy(told)),
        *trials,
        ("Tools", _tools(told, shown)),
        ("Known", _known(told, shown)),
        ("Workers", _workers(told)),
        *[("Sandbox" if n == 0 else "", _node(s)) for n, s in enumerate(told.sandbox_nodes)],
        *[("Told" if n == 0 else "", _channel(c, shown)) for n, c in enumerate(told.channels)],
        ("Calls", _calls(told)),
        ("Log", theirs(_log(told))),
        ("Store", theirs(f"{told.store}, control revision {told.control_revision}")),
    ]
    if told.contents_days or told.legal_holds:
        lines.append(("Kept", _kept(told)))
    if told.freezes:
        freezes = f"{told.freezes} in force: callbroker freezes"
        lines.insert(1, ("Frozen", ours(freezes, "bold red")))
    return [
        piece
        for label, value in lines
        for piece in labelled(label, value, indent=_INDENT, width=shown.width)
    ]


def _broker(other: BrokerStatus) -> Text:
    where = f" at {other.address}" if other.address else ""
    return theirs(f"{short(other.broker)}{where}, release {other.version}")


def _kept(told: GetStatusResponse) -> Text:
    period = (
        f"contents for {told.contents_days} days" if told.contents_days else "contents for ever"
    )
    holds = f", legal holds: {told.legal_holds}" if told.legal_holds else ""
    return ours(f"{period}{holds}: callbroker retention show")


def _policy(told: GetStatusResponse) -> Text:
    if not told.policy_revision:
        return ours("none, so nothing is decided: callbroker policy activate DIR", "red")
    ready = ours("ready", "green") if told.policy_ready else ours("does not answer", "bold red")
    return theirs(digest(told.policy_revision)) + ours(", ") + ready + _library(told)


def _library(told: GetStatusResponse) -> Text:
    """Which shipped rules decide, and whether this release ships others."""
    if not told.HasField("library"):
        text = ours("")
    else:
        text = ours(", library ") + library_text(told.library)
    if is_to_upgrade(told):
        ships = library_text(told.shipped_library)
        text += ours("; this release ships ", "yellow") + ships
        text += ours(": callbroker policy upgrade", "yellow")
    return text


def _tools(told: GetStatusResponse, shown: Around) -> Text:
    del shown
    return ours(str(told.tools) if told.tools else "none: callbroker tools put DIR")


def _known(told: GetStatusResponse, shown: Around) -> Text:
    """How much and how old: a source that nobody has put for long may name who has left."""
    if not told.directories:
        return ours("nobody: callbroker directory put FILE")
    return ours("; ").join(
        [
            theirs(f"{one.source} {one.entries}")
            + ours(f" ({length(shown.now - epoch(one.put_time))} old)")
            for one in told.directories
        ]
    )


def _workers(told: GetStatusResponse) -> Text:
    if not told.workers and told.sandbox_nodes:
        return ours("none")
    if not told.workers:
        return ours("none, so nothing can be carried out", "yellow")
    return ours("; ").join([_worker(worker) for worker in told.workers])


def _worker(told: WorkerStatus) -> Text:
    """One that leaves reviewers without what the manifest promises them is to be mended."""
    text = theirs(f"{short(told.name)} {', '.join(told.tools)}")
    text += ours(f" ({told.free} of {told.slots} slots free)")
    if told.tools_without_preview:
        text += ours(", no preview of ", "yellow")
        text += theirs(", ".join(told.tools_without_preview))
    return text


def _node(node: SandboxNodeStatus) -> Text:
    """A line for each: a node that is away is what an operator looks for here."""
    told = theirs(node.address) + ours(", ")
    if not node.ready:
        return told + ours("away: ", "bold red") + theirs(node.problem)
    profiles = ", ".join(node.profiles) or "no profile"
    return (
        told
        + ours("ready", "green")
        + theirs(f", {node.warm} warm, room for {node.room} more; {profiles}")
    )


def _channel(channel: ChannelStatus, shown: Around) -> Text:
    """A line for each: whoever is not told of a hold does not decide on it."""
    told = theirs(f"{channel.name} ({channel.kind}) to {channel.target}, {channel.sent} told")
    if channel.due:
        late = length(shown.now - epoch(channel.oldest_due_time))
        told += ours(f", {channel.due} due for {late}", "yellow")
    if channel.given_up:
        told += ours(f", {channel.given_up} given up", "bold red")
    if channel.problem:
        told += ours(", last: ", "yellow") + theirs(channel.problem)
    return told


def _calls(told: GetStatusResponse) -> Text:
    waiting = f"{told.holds_pending} wait for a person"
    parts = [ours(waiting, "yellow" if told.holds_pending else "")]
    parts.append(ours(f"{told.invocations_running} under way"))
    if told.invocations_unknown:
        look = f"{told.invocations_unknown} UNKNOWN: callbroker invocations list --state unknown"
        parts.append(ours(look, "bold red"))
    return ours(", ").join(parts)


def _log(told: GetStatusResponse) -> str:
    return f"{told.audit_entries} entries, {told.audit_entries_signed} of them signed"
