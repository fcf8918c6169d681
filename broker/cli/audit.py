"""`callbroker audit`: the log, taken away and checked by anybody with the public key."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text

from broker.cli.audit_reperform import EPILOG, audit_reperform
from broker.cli.connection import looking
from broker.cli.environment import now, settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.invocations import call_picture, resolved
from broker.cli.json_output import plain, print_json
from broker.cli.options import AsJson, Reason, group
from broker.cli.screen import around, ours, say, theirs
from broker.cli.story import full_story
from broker.cli.times import parse_start
from broker.core.audit_verification import Report, verify
from broker.core.key_line import rotations_in
from broker.core.notes import MalformedNote, parse_verifier_key
from broker.v1 import admin_pb2

EXPORT_DEADLINE_S: Final = 3_600.0
_KEY_BYTES_MAX: Final = 4_096

app = group("The log.")


@app.command("show", epilog="Example: callbroker audit show i-9c2e01ab")
def show_story(
    name: Annotated[str, typer.Argument(metavar="CALL", help="As `invocations list` prints it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """The whole story of one call: every entry with all that it says."""
    with looking() as line:
        request = admin_pb2.ShowInvocationRequest(name=resolved(line, name))
        told = line.ask(line.stub.ShowInvocation, request)
    if as_json:
        print_json(plain(told))
        return
    shown = around()
    say(*call_picture(told.invocation, shown), *full_story(told.entries_json, shown))


@app.command(epilog="Example: callbroker audit export --out audit.jsonl --contents")
def export(
    *,
    out: Annotated[
        Path | None, typer.Option(help="A new file for your eyes alone; printed where left out.")
    ] = None,
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="From about then on: 7d ago, or 2026-11-01 (UTC)."),
    ] = "",
    contents: Annotated[
        bool,
        typer.Option("--contents", help="Also arguments, results, words: what entries commit to."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take the log away as JSON lines with its signed heads. That is itself an entry.

    The lines are JSON in any case; --json only says how many there were, as JSON, with --out.
    """
    request = admin_pb2.ExportAuditRequest(include_contents=contents)
    if since:
        start = Timestamp()
        start.FromDatetime(parse_start(since, now=now()))
        request.start_time.CopyFrom(start)
    lines = 0
    with looking() as line, _sink(out) as file:
        for part in line.follow(line.stub.ExportAudit, request, deadline_s=EXPORT_DEADLINE_S):
            file.write(part.lines)
            lines += part.lines.count(b"\n")
    if out is None:
        return
    if as_json:
        print_json({"file": str(out), "lines": lines})
    else:
        check = f"callbroker audit verify {out} --key {_public_key()}"
        say(ours(f"{lines} lines in ") + theirs(f"{out}. Check it anywhere: {check}"))


@app.command("verify", epilog="Example: callbroker audit verify audit.jsonl --key audit.pub")
def verify_export(
    exported: Annotated[Path, typer.Argument(metavar="EXPORT", help="What `audit export` wrote.")],
    *,
    key: Annotated[
        Path,
        typer.Option(help="The log's public key (state/audit.pub), from a place that you trust."),
    ],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Signed heads that were kept elsewhere, such as state/checkpoints/heads.jsonl: "
            "without one a log that was cut short goes unnoticed; repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an export with the public key alone, without a broker. Exit code 1 where it is broken.

    Names the first entry that is not as it was signed.
    """
    from broker.store.heads import epochs_of, notes_of, rotations_of  # noqa: PLC0415
    from broker.store.keys import signature_holds  # noqa: PLC0415

    try:
        public_key = _verifier_key(key)
        outside = [path.read_bytes() for path in checkpoint or ()]
        heads = [note for text in outside for note in notes_of(text)]
        epochs = [note for text in outside for note in epochs_of(text)]
        rotations = [note for text in outside for note in rotations_of(text)]
        with exported.open("rb") as lines:
            rotations += rotations_in(lines)
        with exported.open("rb") as lines:
            report = verify(
                lines,
                public_key,
                signature_holds=signature_holds,
                checkpoints=heads,
                epochs=epochs,
                rotations=rotations,
            )
    except MalformedNote as error:
        raise CommandFailed(f"A checkpoint: {error}", exit_code=ExitCode.USAGE) from error
    except OSError as error:
        raise CommandFailed(
            f"{error.filename}: {error.strerror}.", exit_code=ExitCode.USAGE
        ) from error
    except ValueError as error:
        raise CommandFailed(str(error), exit_code=ExitCode.USAGE) from error
    if as_json:
        print_json(_plain_report(report))
    else:
        say(*_report_picture(report))
    if not report.ok:
        raise typer.Exit(ExitCode.NO)


@app.command(
    "rotate-keys",
    epilog='Example: callbroker audit rotate-keys --reason "Yearly." (while no broker runs)',
)
def rotate_keys(*, reason: Reason, as_json: AsJson = False) -> None:
    """Put new keys in the place of those that link and sign the log; while no broker runs.

    The old key signs who comes after it, in the log: `audit verify` follows from any key that you
    trust to all others. The old signing key is gone afterwards. Asked again after a crash, it ends
    what was begun.
    """
    from broker.cli.opening import refusing  # noqa: PLC0415 - the database, for this alone
    from broker.rotating import RotationRefused, rotate_audit_keys  # noqa: PLC0415

    configured = settings()
    try:
        with refusing():
            rotated = rotate_audit_keys(configured, reason=reason)
    except RotationRefused as refused:
        raise CommandFailed(str(refused)) from refused
    if as_json:
        told = {"key": rotated.key, "replaced": rotated.replaced, "size": rotated.size}
        print_json(told)
        return
    say(ours("The log's key from now on: ") + theirs(rotated.key))
    say(ours(f"The one before signed the first {rotated.size} entries, and is gone."))
    say(ours("Give the new one to those who check the log, and keep a new copy of the state."))


app.command("reperform", epilog=EPILOG)(audit_reperform)


def _report_picture(report: Report) -> Iterator[Text]:
    if report.first_broken is None:
        counted = f"{report.entries} entries, as they were signed by "
        yield ours("GOOD", "green") + ours(f"  {counted}") + theirs(report.origin)
    else:
        broken = report.first_broken
        entry = f" ({broken.entry})" if broken.entry else ""
        yield (
            ours("BROKEN", "bold red")
            + ours("  first at entry ")
            + theirs(f"{broken.leaf_index}{entry}: {broken.why}")
        )
        yield ours(f"{report.entries} entries; good heads cover the first {report.signed}.")
    for warning in report.warnings:
        yield ours("note  ", "yellow") + theirs(warning)


def _plain_report(report: Report) -> dict[str, object]:
    broken = report.first_broken
    return {
        "ok": report.ok,
        "origin": report.origin,
        "entries": report.entries,
        "signed": report.signed,
        "erased": report.erased,
        "restores": [
            {"number": e.number, "kept": e.kept.size, "abandoned": e.abandoned.size}
            for e in report.restores
        ],
        "first_broken": None
        if broken is None
        else {"leaf_index": broken.leaf_index, "entry": broken.entry, "why": broken.why},
        "warnings": list(report.warnings),
    }


@contextlib.contextmanager
def _sink(out: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that is there whole or not at all."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if out.exists():
        raise CommandFailed(f"{out} is there already.", exit_code=ExitCode.USAGE)
    try:
        descriptor, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    except OSError as error:
        raise CommandFailed(f"{out}: {error.strerror}", exit_code=ExitCode.USAGE) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _public_key() -> str:
    """Where this machine's broker keeps the log's public key; its name alone for one elsewhere."""
    path = settings().state / "audit.pub"
    if not path.is_file():
        return path.name
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _verifier_key(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(_KEY_BYTES_MAX).decode("utf-8", "replace")
    try:
        return parse_verifier_key(text)
    except MalformedNote as error:
        raise CommandFailed(
            f"{path} is not a log's public key: {error}", exit_code=ExitCode.USAGE
        ) from error
