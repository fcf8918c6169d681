"""`callbroker policy test`: the cases beside the rules, run on real OPA, in one evaluation."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json, print_json_line
from broker.cli.options import AsJson
from broker.cli.screen import around, ours, say, theirs

EPILOG: Final = "Example: callbroker policy test policies/ --family refunds --watch"
LOOK_EVERY_S: Final = 0.3

Seen = frozenset[tuple[str, int, int]]


def policy_test(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="An own tree; the shipped library alone where left out.",
            show_default=False,
        ),
    ] = None,
    *,
    family: Annotated[
        list[str] | None,
        typer.Option(metavar="FAMILY", help="Only this one, shipped or own; repeatable."),
    ] = None,
    tools: Annotated[
        Path | None,
        typer.Option(
            help="Manifests that rules are typed by; as configured, or beside DIR, if left out."
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help="As configured where left out.")] = "",
    lines_min: Annotated[
        float, typer.Option(min=0, max=100, help="Per cent of each family's lines.")
    ] = 0,
    watch: Annotated[bool, typer.Option("--watch", help="Again whenever a file changes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the cases that lie beside rules, each with its family alone, as the broker would ask.

    Of DIR they are its own, of the shipped library laid under it only those of --family. Exit code
    1 where a case fails, or where fewer lines than --lines-min are covered.
    """
    manifests = tools_for(directory, tools)

    def once() -> bool:
        return _tested(
            directory,
            families=family or (),
            tools=manifests,
            preset=preset,
            lines_min=lines_min,
            print_report=None if not as_json else print_json_line if watch else print_json,
        )

    if not watch:
        if not once():
            raise typer.Exit(ExitCode.NO)
        return
    for _ in changes([path for path in (directory, manifests) if path is not None]):
        try:
            once()
        except CommandFailed as failed:
            say(theirs(str(failed)), *(theirs(f"  {finding}") for finding in failed.findings))


def tools_for(directory: Path | None, tools: Path | None) -> Path | None:
    """The manifests that rules are typed by: those named, configured, or beside the tree."""
    found = tools or settings().tools
    if found is None and directory is not None:
        beside = directory.resolve().parent / "tools"
        return beside if beside.is_dir() else None
    return found


def changes(
    paths: Sequence[Path], *, pause: Callable[[], None] = lambda: time.sleep(LOOK_EVERY_S)
) -> Iterator[None]:
    """At once, then whenever a file below these has changed and been left alone for one look."""
    done: Seen | None = None
    before: Seen | None = None
    while True:
        now = _seen(paths)
        if now != done and (done is None or now == before):
            done = now
            yield
        before = now
        pause()


def _seen(paths: Iterable[Path]) -> Seen:
    found: set[tuple[str, int, int]] = set()
    for root in paths:
        for path in [root, *root.rglob("*")] if root.is_dir() else [root]:
            try:
                told = path.stat()
            except OSError:  # gone between two looks, which is a change
                continue
            found.add((str(path), told.st_mtime_ns, told.st_size))
    return frozenset(found)


def _tested(
    directory: Path | None,
    *,
    families: Sequence[str],
    tools: Path | None,
    preset: str,
    lines_min: float,
    print_report: Callable[[object], None] | None,
) -> bool:
    """Run and show them once. Whether all is well."""
    # OPA's parts, for this command alone.
    from broker.cli.case_report import lacking, report_picture  # noqa: PLC0415
    from broker.cli.opening import refusing  # noqa: PLC0415
    from broker.cli.policy_candidate import candidate  # noqa: PLC0415
    from broker.policy.cases.report import report  # noqa: PLC0415
    from broker.policy.cases.tables import TablesRefused, read_cases  # noqa: PLC0415
    from broker.policy.opa_binary import OPA_VERSION  # noqa: PLC0415

    def where(path: str) -> str:
        return _place(directory, path)

    begun = time.monotonic()
    with candidate(directory, preset=preset, tools=tools) as built, refusing():
        own = _own_files(directory, built.bundle.files)
        wanted = _wanted(families, own, built.bundle.families)
        try:
            cases = [
                case
                for case in read_cases(built.bundle)
                if case.family in wanted and (families or case.file in own)
            ]
        except TablesRefused as refused:
            raise CommandFailed("These cases are refused:", findings=refused.findings) from refused
        if not cases:
            raise CommandFailed("There is no case (*_cases.yaml) there.", exit_code=ExitCode.USAGE)
        found = report(built.opa, built.bundle, cases, families=wanted)
    took_s = time.monotonic() - begun
    few = lacking(found, lines_min, where=where)
    if print_report is not None:
        told = {"seconds": round(took_s, 3), "opa": OPA_VERSION, "lines_lacking": few}
        print_report({**found.to_json(), **told})
    else:
        shown = around()
        say(
            *report_picture(
                found,
                shown,
                where=where,
                took_s=took_s,
                opa=OPA_VERSION,
            ),
            *(ours("Too few: ") + theirs(sentence) for sentence in few),
        )
    return not found.failures and not few


def _own_files(directory: Path | None, files: Iterable[str]) -> frozenset[str]:
    """The paths in the bundle that are the author's own; all of them of the library alone."""
    if directory is None:
        return frozenset(files)
    return frozenset(path for path in files if (directory / path).is_file())


def _wanted(families: Sequence[str], own: Iterable[str], known: Sequence[str]) -> frozenset[str]:
    unknown = sorted(set(families) - set(known))
    if unknown:
        raise CommandFailed(
            f"There is no family {unknown[0]}. There are: {', '.join(known)}.",
            exit_code=ExitCode.USAGE,
        )
    if families:
        return frozenset(families)
    return frozenset(path.split("/")[2] for path in own if path.startswith("broker/rules/"))


def _place(directory: Path | None, path: str) -> str:
    """As the author knows it: below DIR, or its path in the library."""
    if directory is not None and (directory / path).is_file():
        return str(directory / path)
    return path
