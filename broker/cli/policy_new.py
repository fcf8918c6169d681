"""`callbroker policy new`: what a new rule family needs, in a form that checks and tests at once.

Nothing of the author's is written over; the schemas for an editor are made anew each time, in a
hidden folder that is no part of a policy.
"""

import re
import shutil
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import typer

from broker.cli.environment import settings
from broker.cli.failures import CommandFailed, ExitCode
from broker.cli.json_output import print_json
from broker.cli.options import AsJson, group
from broker.cli.screen import ours, say, theirs
from broker.policy.sources import library_directory

app = group("A new part of a policy.")

SCHEMAS: Final = ".schemas"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_RESERVED: Final = frozenset(
    {
        *("as", "contains", "data", "default", "else", "every", "false", "if", "import", "in"),
        *("input", "not", "null", "package", "some", "true", "with"),
    }
)
_OF_FILES: Final = ("manifest.json", "cases.json", "directory.json")
_TEMPLATES: Final = {
    "rule.rego.txt": "broker/rules/{name}/{name}.rego",
    "parameters.rego.txt": "broker/rules/{name}/parameters.rego",
    "rule_cases.yaml.txt": "broker/rules/{name}/{name}_cases.yaml",
    "data.yaml.txt": "parameters/{name}/data.yaml",
}


@app.command(epilog="Example: callbroker policy new rule refunds policies/")
def rule(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the family: small letters, digits and _.")
    ],
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="The policy tree; as configured, else policies, where left out.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write a rule family to start from: rules, cases beside them, parameters.

    It passes `policy check` and its cases as it is, and speaks for no tool until its parameters
    name one. No file is written over.
    """
    tree = directory or settings().policies or Path("policies")
    files = new_rule(name, tree)
    if as_json:
        print_json({"family": name, "files": [str(path) for path in files]})
        return
    for path in files:
        say(ours("Made ") + theirs(str(path)))
    say(ours("Check it: ") + theirs(f"callbroker policy check {tree}"))


@app.command(epilog="Example: callbroker policy new schemas policies/ --tools tools/")
def schemas(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="The policy tree; as configured, else policies, where left out.",
            show_default=False,
        ),
    ] = None,
    *,
    tools: Annotated[
        Path | None,
        typer.Option(help="Manifests whose arguments and facts rules may name; as configured."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the schemas that let an editor complete and check all that you write.

    Manifests, cases, directory files and rules, that is. They are in DIR/.schemas, and are
    made anew each time: after a manifest changed, say.
    """
    from broker.cli.trees import checked, documents  # noqa: PLC0415 - for this command alone
    from broker.policy.schemas import tool_schemas, write_schemas  # noqa: PLC0415

    configured = settings()
    tree = directory or configured.policies or Path("policies")
    where = tools or configured.tools
    manifests = [] if where is None else checked(documents([where]))
    target = tree / SCHEMAS
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in _OF_FILES:
            shutil.copyfile(library_directory() / "schemas" / name, target / name)
        write_schemas(target, {manifest.name: tool_schemas(manifest) for manifest in manifests})
    except OSError as error:
        raise CommandFailed(f"{target}: {error}", exit_code=ExitCode.USAGE) from error
    if as_json:
        print_json({"directory": str(target), "tools": [manifest.name for manifest in manifests]})
    else:
        typed = f"{len(manifests)} tools" if manifests else "no tools"
        say(
            ours(
                f"Made schemas of manifests, cases, the directory and what rules read, of {typed}: "
            )
            + theirs(str(target))
        )


def new_rule(name: str, tree: Path) -> list[Path]:
    """Write the files of a new family.

    Args:
        name: of the family.
        tree: made where it is missing.

    Returns:
        What was written.

    Raises:
        CommandFailed: the name cannot be a family's, a file is there, or it cannot be written.
    """
    _require_name(name)
    folder = resources.files("broker.cli") / "rule"
    texts = {
        tree / place.format(name=name): (folder / template).read_text(encoding="utf-8")
        for template, place in _TEMPLATES.items()
    }
    present = [path for path in texts if path.exists()]
    if present:
        raise CommandFailed(f"{present[0]} is there already.", exit_code=ExitCode.USAGE)
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(text, name), encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{tree}: {error}", exit_code=ExitCode.USAGE) from error
    return list(texts)


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise CommandFailed(
            f"{name!r} cannot be a family: small letters, digits and _, a letter first, at most "
            "40, and no word of Rego's own.",
            exit_code=ExitCode.USAGE,
        )
    if (library_directory() / "broker" / "rules" / name).exists():
        raise CommandFailed(
            f"The shipped family {name} has this name; take another.", exit_code=ExitCode.USAGE
        )


def _filled(text: str, name: str) -> str:
    words = {
        "@NAME@": name,
        "@TITLE@": name.replace("_", " ").capitalize(),
        "@CODE@": name.upper(),
    }
    for mark, word in words.items():
        text = text.replace(mark, word)
    return text
