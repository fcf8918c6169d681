"""The command line as a whole: each group is imported only when it is asked for.

So `callbroker --help` is quick, and a command pays for what it needs alone. No traceback reaches
whoever typed; CALLBROKER_TRACEBACK=1 shows the one of a defect.
"""

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, cast

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.options import CONTEXT
from broker.core.text import visible

PROGRAM: Final = "callbroker"
EPILOG: Final = (
    "Exit codes: 0 done; 1 the answer is no, or a check failed; 2 wrong usage or configuration; "
    "3 the broker cannot be reached; 4 not permitted."
)

# Each command's module in `broker.cli`, and what it is for.
COMMANDS: Final = {
    "init": ("project_command", "Make a project of one's own that runs."),
    "serve": ("serve", "Run the broker."),
    "sandboxd": ("sandboxd", "Run a sandbox node: containers for risky tools."),
    "status": ("status", "How the broker is and what waits."),
    "holds": ("holds", "Calls that wait for a person: look, approve, reject."),
    "invocations": ("invocations", "Calls that were decided: list, show, follow, reconcile."),
    "tools": ("tools", "What may be called: manifests, put in force or taken out."),
    "sandbox": ("sandbox", "Images and isolation of tools that run in sandboxes."),
    "policy": ("policy", "The rules: check, activate, go back."),
    "directory": ("directory", "People and places that are known: put, list, remove."),
    "access": ("access", "Who may do what, through which agent, and why."),
    "token": ("token", "Credentials: make, list, revoke."),
    "sign-ins": ("sign_ins", "Who is signed in at the review page: list, revoke."),
    "freeze": ("freeze", "Stop a tool, agent, principal, session or everything at once."),
    "unfreeze": ("unfreeze", "Lift a freeze."),
    "freezes": ("freezes", "The freezes in force."),
    "audit": ("audit", "The log: one call's story, an export, its verification."),
    "retention": ("retention", "How long contents are kept; legal holds; erase for somebody."),
    "backup": ("backup", "Copy the database while the broker runs, or check a copy."),
    "restore": ("restore", "Put a backup in the database's place."),
    "config": ("configuration", "Every setting with its value, default and meaning."),
    "migrate": ("migrate", "Make the database, or bring it to this release."),
    "doctor": ("doctor", "Whether this machine can hold hostile tools, and what mends it."),
    "opa": ("opa", "The policy engine that decides."),
    "version": ("version", "The releases of this command and of its policy engine."),
}


class Commands(TyperGroup):
    """Knows the names and one line of each; a module is imported when its command is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as it is overridden
        """Every command, in the order of a first reading."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as it is overridden
        """The command of a name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"broker.cli.{COMMANDS[cmd_name][0]}")
        return get_command(module.app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as overridden
        """The list in the help, without importing what is listed."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Like the inherited one; suggestions are made from the names."""
        self.commands = cast("Any", dict.fromkeys(COMMANDS))  # only the keys are read
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    help="Decides and carries out an AI agent's tool calls, outside the model.",
    epilog=EPILOG,
    context_settings=dict(CONTEXT),
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Nothing but the commands."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; those of the process where left out.

    Returns:
        The exit code.
    """
    _prepare()
    try:
        code = get_command(app).main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except CommandFailed as failed:
        return _fail(str(failed), failed.findings, failed.exit_code)
    except TyperException as misused:
        return _misused(misused)
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has enough: nothing of what is left may be complained about at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as defect:
        if os.environ.get("CALLBROKER_TRACEBACK"):
            raise
        told = f"{type(defect).__name__}: {defect}"
        return _fail(
            f"This is a defect of callbroker. {told}",
            ("CALLBROKER_TRACEBACK=1 shows where it happened",),
            ExitCode.NO,
        )
    return code if isinstance(code, int) else ExitCode.OK


def _prepare() -> None:
    """What a terminal cannot show is escaped; gRPC's own log keeps out of ours.

    Nothing that is forked here goes on with gRPC, so its handlers of forks are not wanted either.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def _fail(message: str, findings: Sequence[str], code: ExitCode) -> int:
    first, *more = message.split("\n")
    sys.stderr.write(f"callbroker: {visible(first)}\n")
    for line in (*more, *findings):
        sys.stderr.write(f"  {visible(line)}\n")
    return code


def _misused(misused: TyperException) -> int:
    context = getattr(misused, "ctx", None)
    if misused.message.startswith("Usage: "):  # a group alone: its help is the answer
        sys.stderr.write(misused.message + "\n")
        return ExitCode.USAGE
    command = context.command_path if context is not None else PROGRAM
    # Choices come on lines of their own, and checks of values with their library's word for wrong.
    said = " ".join(misused.format_message().split()).replace("Value error, ", "")
    stop = "" if said.endswith((".", "?", "!", ")")) else "."
    return _fail(f"{said}{stop} See: {command} --help", (), ExitCode.USAGE)
