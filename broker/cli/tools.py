"""`callbroker tools`: what may be called. Manifests are checked whole and put in force whole."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from broker.cli.connection import administering, looking
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.hold_picture import digest
from broker.cli.in_force import tools_in_force
from broker.cli.json_output import plain, print_json
from broker.cli.options import AsJson, Reason, group
from broker.cli.screen import around, list_width, ours, say, table, theirs
from broker.cli.tools_putting import put_tools
from broker.cli.trees import checked, documents
from broker.core.manifest import warnings
from broker.core.stores import stores_advice
from broker.core.text import visible_value
from broker.tools.draft import Document, DraftRefused, draft, to_yaml
from broker.v1 import admin_pb2
from broker.v1.admin_pb2 import Manifest

app = group("What may be called.")

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Manifests, or directories of them.")
]
Name = Annotated[str, typer.Argument(metavar="TOOL", help="Its name.")]
_SCHEMA: Final = "../policies/schemas/manifest.json"
_BEHAVIOURS: Final = ("read_only", "destructive", "idempotent", "open_world")


@app.command("list", epilog="Example: callbroker tools list")
def list_tools(*, as_json: AsJson = False) -> None:
    """The tools in force."""
    found = _in_force()
    if as_json:
        print_json({"tools": [plain(tool) for tool in found]})
        return
    rows = []
    for tool in found:
        told = plain(tool)["document_json"]
        needed = ", ".join(scope["name"] for scope in told.get("scopes", ()))
        behaviour = told.get("behaviour", {})
        behaves = ", ".join(b for b in _BEHAVIOURS if behaviour.get(b))
        if not behaviour.get("read_only"):
            behaves = f"writes, {behaves}" if behaves else "writes"
        if told.get("runner") == "sandbox":
            workers = ours("sandbox")
        else:
            workers = ours(str(tool.workers), "" if tool.workers else "yellow")
        rows.append(
            [
                theirs(tool.name, "bold"),
                theirs(digest(tool.revision)),
                workers,
                theirs(behaves),
                theirs(needed),
                theirs(str(told.get("description", ""))),
            ]
        )
    shown = around()
    headers = ("Tool", "Revision", "Workers", "Behaviour", "Scopes", "What it does")
    if rows:
        say(*table(headers, rows, width=list_width(shown), below=len(headers) - 1))
    else:
        say("No tool is in force. Put some: callbroker tools put DIR")


@app.command(epilog="Example: callbroker tools show refund")
def show(name: Name, *, as_json: AsJson = False) -> None:
    """One tool's manifest as it is in force."""
    tool = next((one for one in _in_force() if one.name == name), None)
    if tool is None:
        raise CommandFailed(f"There is no tool {name!r} in force.")
    told = plain(tool)
    if as_json:
        print_json(told)
        return
    workers = "1 worker" if tool.workers == 1 else f"{tool.workers} workers"
    if told["document_json"].get("runner") == "sandbox":
        workers = "in a sandbox"
    say(theirs(tool.name, "bold") + theirs(f"  {tool.revision}  {workers}"))
    for member, value in told["document_json"].items():
        say(theirs(f"{member}: ") + ours(visible_value(value)))


@app.command(epilog="Example: callbroker tools check tools/")
def check(paths: Paths, *, as_json: AsJson = False) -> None:
    """Check manifests here, without a broker.

    Their form, schemas and references; and says what to look at.
    """
    manifests = checked(documents(paths))
    found = [
        f"{manifest.name}: {warning}" for manifest in manifests for warning in warnings(manifest)
    ]
    found += stores_advice(manifests)
    if as_json:
        tools = [{"name": m.name, "revision": m.revision} for m in manifests]
        print_json({"tools": tools, "warnings": found})
        return
    say(*(ours("look at ", "yellow") + theirs(warning) for warning in found))
    say(f"{_count(len(manifests))}, nothing refused.")


@app.command(epilog='Example: callbroker tools put tools/ --replace-all --reason "First tools."')
def put(
    paths: Paths,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the log.")] = "",
    replace_all: Annotated[
        bool, typer.Option("--replace-all", help="Take every other tool out of force.")
    ] = False,
    only_check: Annotated[
        bool, typer.Option("--check", help="Only ask the broker whether it would take them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put manifests in force: all of them, or none.

    A changed manifest is a new revision, under which nothing that was approved before still counts.
    Of more than 4 MiB, so much is put at a time, all of it or none; others go out of force last.
    """
    read = documents(paths)
    checked(read)
    with administering() as line:
        told = put_tools(line, read, reason=reason, replace_all=replace_all, only_check=only_check)
    if as_json:
        print_json(plain(told))
        return
    say(*(ours("look at ", "yellow") + theirs(warning) for warning in told.warnings))
    would = "would be" if only_check else "are"
    say(f"{_count(told.tools or len(told.manifests))} {would} in force.")


@app.command(epilog='Example: callbroker tools delete refund --reason "Retired."')
def delete(name: Name, *, reason: Reason, as_json: AsJson = False) -> None:
    """Take a tool out of force. Its manifests are kept for the log."""
    with administering() as line:
        request = admin_pb2.DeleteToolRequest(name=name, reason=reason)
        line.ask(line.stub.DeleteTool, request)
    if as_json:
        print_json({"name": name, "deleted": True})
    else:
        say(ours("Out of force: ") + theirs(name))


@app.command("draft", epilog="Example: callbroker tools draft my_agent.tools --out tools")
def draft_tools(
    module: Annotated[
        str, typer.Argument(metavar="MODULE", help="With typed functions; it is imported.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Directory for one file each; printed where left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write manifests for a module's public functions.

    A drafted tool writes, destroys, must not be repeated and reaches outside, until you say that it
    is milder. Files that are there are not touched.
    """
    drafted = _drafted(module)
    if as_json:
        print_json({"tools": list(drafted.values())})
        return
    if out is None:
        for number, document in enumerate(drafted.values()):
            sys.stdout.write(("---\n" if number else "") + to_yaml(document, schema=""))
        return
    kept = [name for name in drafted if (out / f"{name}.yaml").exists()]
    out.mkdir(parents=True, exist_ok=True)
    schema = _SCHEMA if (out / _SCHEMA).is_file() else ""
    for name, document in drafted.items():
        if name not in kept:
            (out / f"{name}.yaml").write_text(to_yaml(document, schema=schema), encoding="utf-8")
    say(ours(f"{_count(len(drafted) - len(kept))} drafted into ") + theirs(str(out)))
    if kept:
        say(ours("Left as they are: ") + theirs(", ".join(kept)))
    say(
        ours("Make them milder where you know better, then: callbroker tools put ")
        + theirs(str(out))
    )


def _drafted(module: str) -> dict[str, Document]:
    with _importable_from_here():
        try:
            imported = importlib.import_module(module)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise CommandFailed(
                f"The module {module!r} cannot be imported: {told}", exit_code=ExitCode.USAGE
            ) from error
    try:
        return draft(imported)
    except DraftRefused as refused:
        raise CommandFailed("Nothing was drafted:", findings=refused.findings) from refused


@contextlib.contextmanager
def _importable_from_here() -> Iterator[None]:
    """As with `python -m`: the working directory is looked at first."""
    here = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _in_force() -> Sequence[Manifest]:
    with looking() as line:
        return tools_in_force(line)


def _count(tools: int) -> str:
    return "1 tool" if tools == 1 else f"{tools} tools"
