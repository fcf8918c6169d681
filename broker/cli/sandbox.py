"""`callbroker sandbox`: makes the images that tools of `runner: sandbox` run in, and looks at them.

It speaks to the container engine itself, as a person does who may; the broker never does.
"""

import contextlib
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.options import AsJson, group
from broker.cli.sandbox_manifest import checked_source, finished
from broker.cli.screen import around, list_width, ours, say, table, theirs

if TYPE_CHECKING:
    from sandboxes.engine import ImageFacts
    from sandboxes.images.store import ImageStore

app = group("Images and isolation of tools that run in sandboxes.")
images = group("The images on this machine's container engine.")
app.add_typer(images, name="images")

ENGINE: Final = "unix:///var/run/docker.sock"
Engine = Annotated[
    str,
    typer.Option(
        "--engine", metavar="URL", envvar="CALLBROKER_SANDBOXD_ENGINE", help="The container engine."
    ),
]
_MISSING: Final = "this needs more than is installed: pip install 'callbroker[sandboxes]'"
_MIB: Final = 1 << 20


@app.command(epilog="Example: callbroker sandbox build run_python")
def build(
    tool: Annotated[
        str, typer.Argument(metavar="TOOL", help="A tool's folder, or a supplied tool's name.")
    ],
    *,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the finished manifest goes.")
    ] = Path("tools"),
    base: Annotated[
        str, typer.Option(help="The base image that it is built on: python or shell.")
    ] = "",
    engine: Engine = ENGINE,
    as_json: AsJson = False,
) -> None:
    """Make a tool's image, and its manifest with the image's digest in it.

    A tool is a folder with tool.py (`def run(call, **arguments)`), manifest.yaml (with `runner:
    sandbox` and no image yet) and, where it needs packages, requirements.txt with hashes. Nothing
    of it runs while it is built. Supplied tools: run_python, run_shell, read_document.
    """
    with _needs():
        from sandboxes.images import bases, tools  # noqa: PLC0415 - docker, for these commands alone
        from sandboxes.images.folder import read_folder  # noqa: PLC0415 - likewise
    _require_known(base, bases.RECIPES)
    with _refused(f"{tool} was not built"):
        path = tools.supplied_folder(tool) or Path(tool)
        if not path.is_dir():
            known = ", ".join(tools.SUPPLIED)
            raise CommandFailed(
                f"{tool} is neither a folder here nor a supplied tool ({known}).",
                exit_code=ExitCode.USAGE,
            )
        folder = read_folder(path)
        document, manifest = checked_source(path, folder.files)
        with _store(engine) as store:
            made = tools.make_tool(
                store,
                folder,
                name=manifest.name,
                base=base or tools.SUPPLIED.get(manifest.name, "python"),
                told=_silent if as_json else _told,
            )
    written = out / f"{manifest.name}.yaml"
    out.mkdir(parents=True, exist_ok=True)
    written.write_text(finished(document, made.digest), encoding="utf-8")
    if as_json:
        print_json({**_plain(made), "tool": manifest.name, "manifest": str(written)})
        return
    say(ours("image    ", "bold") + theirs(f"{made.digest}  {_size(made)}"))
    say(ours("manifest ", "bold") + theirs(str(written)))
    say(theirs(f"Put it in force: callbroker tools put {written}"))


@app.command(epilog="Example: callbroker sandbox profiles")
def profiles(
    *,
    directory: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Profiles of one's own, beside the shipped.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The levels of isolation that there are.

    Which of them a node can give, `callbroker status` says.
    """
    with _needs():
        from sandboxes import profiles as reading  # noqa: PLC0415 - for this command alone
    try:
        found = dict(reading.shipped())
        if directory is not None:
            found.update(reading.read(directory))
    except (reading.ProfileRefused, OSError) as refused:
        raise CommandFailed(str(refused), exit_code=ExitCode.USAGE) from None
    listed = [found[name] for name in sorted(found)]
    if as_json:
        shown = [
            {
                "name": p.name,
                "digest": p.digest,
                "description": p.description,
                "isolated": p.isolated,
            }
            for p in listed
        ]
        print_json({"profiles": shown})
        return
    rows = [
        [
            theirs(p.name, "bold"),
            theirs(p.digest.removeprefix("sha256:")[:8]),
            theirs("none" if p.isolated else "listed hosts"),
            theirs(f"{p.memory_bytes // _MIB} MiB"),
            theirs(f"{p.wall_s_max:g} s"),
            theirs(p.description),
        ]
        for p in listed
    ]
    headers = ("Profile", "Digest", "Way out", "Memory", "Longest", "What it is for")
    say(*table(headers, rows, width=list_width(around())))


@images.command("build", epilog="Example: sudo callbroker sandbox images build --base python")
def build_base(
    *,
    base: Annotated[str, typer.Option(help="python or shell; both if left out.")] = "",
    registry: Annotated[
        str, typer.Option(metavar="NAME@sha256:...", help="A registry's image to use instead.")
    ] = "",
    release: Annotated[
        str, typer.Option(help="Debian or Ubuntu release for debootstrap; asks no registry.")
    ] = "",
    mirror: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="CALLBROKER_SANDBOX_MIRROR",
            help="Package archive for debootstrap; asks no registry.",
        ),
    ] = "",
    engine: Engine = ENGINE,
    as_json: AsJson = False,
) -> None:
    """Make the base images that tools are built on: one to two minutes each.

    From a registry's image, pinned by digest, where one is reachable; else from a distribution's
    packages with debootstrap, which needs root.
    """
    with _needs():
        from sandboxes.images import bases  # noqa: PLC0415 - docker, for these commands alone
    _require_known(base, bases.RECIPES)
    wanted = [base] if base else list(bases.RECIPES)
    if registry and not base:
        raise CommandFailed(
            "Say with --base which base this registry's image is for.", exit_code=ExitCode.USAGE
        )
    made = []
    with _refused("no base image was made"), _store(engine) as store:
        for name in wanted:
            image = bases.make_base(
                store,
                bases.RECIPES[name],
                registry=registry,
                release=release,
                mirror=mirror,
                told=_silent if as_json else _told,
            )
            made.append(image)
            if not as_json:
                say(ours(f"{name:8} ", "bold") + theirs(f"{image.digest}  {_size(image)}"))
    if as_json:
        print_json({"images": [_plain(image) for image in made]})


@images.command(epilog="Example: callbroker sandbox images lint sha256:4f2a...")
def lint(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Its digest, or a name of it.")],
    *,
    engine: Engine = ENGINE,
    as_json: AsJson = False,
) -> None:
    """Say why an image may not run as a sandbox; exit code 1 where it may not."""
    with _needs():
        from sandboxes.images import lint as linting  # noqa: PLC0415 - for this command alone
        from sandboxes.images.layout import BASE_LABEL, LABEL  # noqa: PLC0415 - likewise
    with _refused("the image was not checked"), _store(engine) as store:
        facts = _there(store, image)
        found = linting.findings(
            facts,
            store.modes(facts.digest),
            architecture=linting.kernels_name(store.architecture()),
            base=BASE_LABEL in facts.labels and LABEL not in facts.labels,
        )
    if as_json:
        print_json({**_plain(facts), "findings": list(found)})
    elif found:
        say(*(ours("refused ", "red") + theirs(finding) for finding in found))
    else:
        say(theirs(f"{facts.digest} may run."))
    if found:
        raise typer.Exit(ExitCode.NO)


@images.command("list", epilog="Example: callbroker sandbox images list")
def list_images(*, engine: Engine = ENGINE, as_json: AsJson = False) -> None:
    """The images that were made for sandboxes, and the bases below them."""
    with _needs():
        from sandboxes.images.layout import BASE_LABEL, LABEL, TOOL_LABEL  # noqa: PLC0415 - as above
    with _refused("the images were not listed"), _store(engine) as store:
        found = [*store.images(f"{LABEL}=1"), *store.images(BASE_LABEL)]
    if as_json:
        print_json({"images": [_plain(image) for image in found]})
        return
    rows = [
        [
            theirs(
                image.labels.get(TOOL_LABEL) or f"base {image.labels.get(BASE_LABEL, '')}", "bold"
            ),
            theirs(image.digest),
            theirs(_size(image)),
            theirs(", ".join(image.names)),
        ]
        for image in found
    ]
    if rows:
        say(*table(("For", "Digest", "Size", "Names"), rows, width=list_width(around())))
    else:
        say("There is none. Make the bases: sudo callbroker sandbox images build")


def _require_known(base: str, bases: Collection[str]) -> None:
    if base and base not in bases:
        raise CommandFailed(
            f"There is no base {base!r}; there are {', '.join(bases)}.", exit_code=ExitCode.USAGE
        )


@contextlib.contextmanager
def _needs() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0] in {"broker", "sandboxes"}:
            raise
        raise CommandFailed(f"{missing.name} is missing: {_MISSING}") from missing


@contextlib.contextmanager
def _refused(what: str) -> Iterator[None]:
    """Every refusal on the way becomes one sentence and its details."""
    from sandboxes.engine import EngineRefused, EngineUnavailable  # noqa: PLC0415 - as above
    from sandboxes.images.refusals import BuildRefused  # noqa: PLC0415 - as above

    try:
        yield
    except BuildRefused as refused:
        raise CommandFailed(f"{what}: {refused}", findings=refused.findings) from None
    except EngineRefused as refused:
        raise CommandFailed(f"{what}: the container engine says: {refused}") from None
    except EngineUnavailable as gone:
        raise CommandFailed(
            f"{what}: {gone}",
            exit_code=ExitCode.UNREACHABLE,
            findings=("callbroker doctor says what a container engine needs",),
        ) from None
    except OSError as broken:
        raise CommandFailed(f"{what}: {broken}") from None


def _there(store: "ImageStore", image: str) -> "ImageFacts":
    from sandboxes.engine import NotThere  # noqa: PLC0415 - as above

    try:
        return store.image(image)
    except NotThere:
        raise CommandFailed(
            f"There is no image {image} on this engine; callbroker sandbox images list shows those "
            "that were made for sandboxes."
        ) from None


def _store(engine: str) -> "ImageStore":
    with _needs():
        from sandboxes.images.store import ImageStore  # noqa: PLC0415 - as above
    if not engine.startswith("unix://"):
        raise CommandFailed(
            f"{engine!r} is no socket of this machine: unix:///var/run/docker.sock",
            exit_code=ExitCode.USAGE,
        )
    return ImageStore(engine)


def _plain(image: "ImageFacts") -> dict[str, Any]:
    return {
        "digest": image.digest,
        "names": list(image.names),
        "size_bytes": image.size_bytes,
        "labels": dict(image.labels),
    }


def _size(image: "ImageFacts") -> str:
    return f"{image.size_bytes / _MIB:.0f} MiB"


def _told(line: str) -> None:
    say(theirs(f"  {line}"))
    sys.stdout.flush()


def _silent(_: str) -> None:
    pass
