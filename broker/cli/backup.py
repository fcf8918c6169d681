"""`callbroker backup`: one consistent file while the broker runs, and whether one is good."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from broker.cli.connection import administering
from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.opening import refusing
from broker.cli.options import CONTEXT, AsJson
from broker.cli.screen import ours, say, theirs
from broker.core.audit_verification import Report
from broker.core.notes import MalformedNote, parse_verifier_key
from broker.v1 import retention_pb2

_TAKE: Final = "take"


class _TakeUnlessSaid(TyperGroup):
    """`callbroker backup FILE` is `callbroker backup take FILE`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A first word that is no command is the file."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = [_TAKE, *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_TakeUnlessSaid,
    help="Backups of the broker's database. `callbroker backup FILE` takes one.",
    context_settings=dict(CONTEXT),
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Backup = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


@app.callback()
def _root() -> None:
    """Nothing but the commands."""


@app.command(_TAKE, epilog="Example: callbroker backup monday.db")
def take(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, for your eyes alone.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Copy the database as it is at one moment, while the broker runs and goes on deciding.

    The log is signed first, and the copy is checked before it gets its name. It has everything but
    the keys and the signed heads: keep a copy of the state directory elsewhere, and apart.
    """
    from broker.store import backing_up  # noqa: PLC0415 - the database, for this alone

    configured = settings()
    with refusing():
        source = backing_up.file_of(configured.database)
        with administering() as line:
            line.ask(line.stub.BeginBackup, retention_pb2.BeginBackupRequest())
        try:
            backing_up.take(source, out)
        except FileExistsError as error:
            raise CommandFailed(f"{out} is there already.", exit_code=ExitCode.USAGE) from error
        report = _checked(out)
    if as_json:
        print_json({"file": str(out), **_plain(report)})
    else:
        say(ours(f"{report.entries} entries of the log, all signed, in ") + theirs(str(out)))
    _require_good(report)


@app.command("verify", epilog="Example: callbroker backup verify monday.db")
def verify_backup(backup: Backup, *, as_json: AsJson = False) -> None:
    """Check a backup: whole, its log unbroken and signed by this broker's key. No broker is needed.

    Exit code 1 where it is not.
    """
    with refusing():
        report = _checked(backup)
    if as_json:
        print_json({"file": str(backup), **_plain(report)})
    elif report.ok:
        say(ours("GOOD", "green") + ours(f"  {report.entries} entries, as they were signed."))
        for warning in report.warnings:
            say(ours("note  ", "yellow") + theirs(warning))
    _require_good(report)


def _checked(backup: Path) -> Report:
    """Whether its log holds, by the key of this machine's state.

    Heads outside may be newer than a backup, and know of restores that it does not: no fault of it.
    """
    from broker.store import backing_up  # noqa: PLC0415
    from broker.store.keys import rotation_notes  # noqa: PLC0415

    state = settings().state
    key = state / "audit.pub"
    try:
        public_key = parse_verifier_key(key.read_text(encoding="ascii"))
        return backing_up.check(backup, public_key, rotations=rotation_notes(state))
    except MalformedNote as error:
        raise CommandFailed(f"{key}: {error}", exit_code=ExitCode.USAGE) from error


def _require_good(report: Report) -> None:
    if report.first_broken is not None:
        broken = report.first_broken
        raise CommandFailed(f"The log in it is broken at entry {broken.leaf_index}: {broken.why}")


def _plain(report: Report) -> dict[str, object]:
    return {
        "ok": report.ok,
        "entries": report.entries,
        "signed": report.signed,
        "erased": report.erased,
        "restores": [epoch.number for epoch in report.restores],
        "warnings": list(report.warnings),
    }
