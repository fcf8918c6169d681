"""The reference of the command line is what `--help` says, of every command: docs/cli.md.

python -m broker.cli.reference > docs/cli.md
"""

import sys
from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.main import get_command

from broker.cli.main import PROGRAM, app

WIDTH: Final = 96
_HEAD: Final = """\
# The command line

What `callbroker COMMAND --help` says, of every command. Made by `python -m broker.cli.reference`.

Every command takes `--json` and then prints one JSON document (`invocations tail`: a line for each
call) with the names of the protocol's own fields. Only `serve` runs on, and it logs to standard
error. A name may be given as it is listed (`h-3fa9c2d1`), in full, or as any beginning or end of
its UUID that fits one resource alone.

* The broker's address is `CALLBROKER_ADDRESS`, else `listen` in `callbroker.toml` here, or in the
  file that `CALLBROKER_CONFIG` names. A broker elsewhere needs `CALLBROKER_CA_FILE`.
* The operator's token is `CALLBROKER_OPERATOR_TOKEN`, else the file `tokens/operator` in the state
  directory; a reviewer's and an auditor's likewise.
* Exit codes: 0 done; 1 the answer is no, or a check failed; 2 wrong usage or configuration; 3 the
  broker cannot be reached; 4 not permitted.
"""


def reference() -> str:
    """The whole page."""
    root = get_command(app)
    parts = [_HEAD, _section(root, PROGRAM, None)]
    context = _context(root, PROGRAM, None)
    for names, command, above in walk(root, context):
        parts.append(_section(command, names[-1], above, title=" ".join(names)))
    return "\n".join(parts)


def walk(command: Any, context: Any, names: tuple[str, ...] = ()) -> Iterator[Any]:
    """Every command below one: its names, itself, and the context above it."""
    listed = getattr(command, "list_commands", None)
    if listed is None:
        return
    for name in listed(context):
        below = command.get_command(context, name)
        yield (*names, name), below, context
        yield from walk(below, _context(below, name, context), (*names, name))


def _section(command: Any, name: str, above: Any, *, title: str = "") -> str:
    said = _context(command, name, above).get_help().rstrip()
    return f"## {title or name}\n\n```text\n{said}\n```\n"


def _context(command: Any, name: str, above: Any) -> Any:
    return typer.Context(
        command,
        info_name=name,
        parent=above,
        terminal_width=WIDTH,
        help_option_names=["-h", "--help"],
    )


if __name__ == "__main__":
    sys.stdout.write(reference())
