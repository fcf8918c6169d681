"""`callbroker restore`: a backup in the database's place, told in the log for ever."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from broker.cli.environment import local_zone, now, settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.options import AsJson, Reason, group
from broker.cli.screen import ours, say, theirs
from broker.cli.times import clock

app = group("")


@app.command(epilog='Example: callbroker restore monday.db --reason "The disk died." --yes')
def restore(
    backup: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="What `backup` wrote.")
    ] = None,
    *,
    reason: Reason,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Instead of a file: the database's own tools, such as pg_restore, have put a "
            "backup back already.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="What the backup does not have is abandoned.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the database's place, and go on from it; while no broker runs.

    What happened since it was taken is lost to the broker, though not to the world. So holds
    expire, what was under way is UNKNOWN, sessions and sign-ins end, operators' credentials are
    revoked, every limit counts as reached until its window has gone by, and everything is frozen
    until you lift that. The log says so for ever.
    """
    from broker.bootstrap import restore_backup  # noqa: PLC0415 - the database, for this alone
    from broker.cli.opening import refusing  # noqa: PLC0415

    if in_place is (backup is not None):
        raise CommandFailed(
            "Name the backup's file, or say --in-place where it was put back already.",
            exit_code=ExitCode.USAGE,
        )
    if not yes:
        raise CommandFailed(
            "What happened since the backup was taken is abandoned: say --yes.",
            exit_code=ExitCode.USAGE,
            findings=("`callbroker backup verify FILE` says whether it is good",),
        )
    configured = settings()
    with refusing():
        done = restore_backup(configured, backup, reason=reason)
    if as_json:
        print_json(
            {
                "epoch": done.epoch.number,
                "kept": done.epoch.kept.size,
                "abandoned": done.epoch.abandoned.size,
                "kept_at": done.kept_at,
                "holds_expired": done.holds_expired,
                "calls_unknown": done.calls_unknown,
                "sessions_revoked": done.sessions_revoked,
                "mandates_revoked": done.mandates_revoked,
                "operators_revoked": done.operators_revoked,
                "replaced": str(done.replaced) if done.replaced else "",
            }
        )
        return
    taken = clock(done.kept_at, now=now(), zone=local_zone())
    kept, lost = done.epoch.kept.size, done.epoch.abandoned.size
    say(ours(f"Restored to {taken}: {kept} entries of the log, of {lost} that were signed."))
    say(
        ours(
            f"Ended: {done.holds_expired} holds, {done.calls_unknown} calls under way, "
            f"{done.sessions_revoked} sessions, {done.mandates_revoked} mandates, "
            f"{done.operators_revoked} operators' credentials."
        )
    )
    if done.replaced:
        say(ours("What was there is kept as ") + theirs(str(done.replaced)))
    say(*_what_to_do())


def _what_to_do() -> Iterator[Text]:
    yield ours("Before you start the broker: callbroker token create operator NAME --first --save")
    yield ours("What happened since then nobody here knows. Before you lift the freeze:")
    yield ours("  * look in the systems that tools act on for what was done since then")
    yield ours("  * callbroker invocations list --state unknown   each needs a person")
    yield ours("  * callbroker token list, freezes, retention show   what was revoked, frozen or")
    yield ours("    kept since then is no longer, and what was erased is back: do it again; so")
    yield ours("    with grants, tools and policy")
    yield ours("  * callbroker freezes, then callbroker unfreeze   limits fill by themselves again")
