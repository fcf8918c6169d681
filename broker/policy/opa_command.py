"""Runs the OPA binary for a moment: to check, inspect, build and try; never to decide a call.

It runs without an environment, without a shell, in its sources' folder, with a deadline. What it
refuses comes back as sentences that name the files as their author knows them.
"""

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.errors import PolicyUnavailable

ENTRY_POINT: Final = "data.broker.decision.decision"
COMMAND_DEADLINE_S: Final = 60.0
_FINDINGS_MAX: Final = 20
_RULES_SCHEMA: Final = """\
# METADATA
# scope: subpackages
# schemas:
#   - input: schema.input
package broker.rules
"""


class CommandRefused(Exception):
    """OPA says no.

    Attributes:
        findings: one sentence each.
    """

    def __init__(self, findings: Iterable[str]) -> None:
        self.findings: tuple[str, ...] = tuple(findings)
        super().__init__("; ".join(self.findings))


def check(opa: Path, *, tree: Path, schemas: Path, capabilities: Path) -> None:
    """Compile every module, strictly, with the types of `schemas`.

    A note for all families lets `schema.input` hold for a rule that forgets to name it.

    Raises:
        CommandRefused: with OPA's findings.
        PolicyUnavailable: OPA cannot be run.
    """
    note = tree / "broker" / "rules" / "callbroker_schemas.rego"
    note.write_text(_RULES_SCHEMA, encoding="utf-8")
    try:
        _run(
            opa,
            "check",
            *("--bundle", "--strict", "--format=json", f"--max-errors={_FINDINGS_MAX}"),
            *(f"--capabilities={capabilities}", f"--schema={schemas}", "."),
            directory=tree,
        )
    finally:
        note.unlink()


def packages(opa: Path, *, tree: Path) -> Mapping[str, list[str]]:
    """Which files declare which package (`data.…`)."""
    report = json.loads(_run(opa, "inspect", "--format=json", ".", directory=tree))
    return {
        package: [file for file in files if file.endswith(".rego")]
        for package, files in report.get("namespaces", {}).items()
    }


def build(opa: Path, *, tree: Path, capabilities: Path, revision: str, out: Path) -> bytes:
    """Build the bundle; the same sources give the same bytes."""
    _run(
        opa,
        "build",
        *("--bundle", f"--capabilities={capabilities}", f"--revision={revision}"),
        *(f"--output={out}", "."),
        directory=tree,
    )
    return out.read_bytes()


def evaluate(opa: Path, *, bundle: Path, question: Mapping[str, JsonValue]) -> JsonValue:
    """Ask the entry point of a bundle once; the answer is as of the Data API, `{"result": …}`."""
    results = query(opa, ENTRY_POINT, bundle=bundle, given=dict(question)).get("result")
    return {"result": results[0]["expressions"][0]["value"]} if results else {}


def query(
    opa: Path,
    text: str,
    *,
    bundle: Path,
    given: JsonValue,
    flags: Sequence[str] = ("--strict-builtin-errors",),
) -> dict[str, Any]:
    """Evaluate a query, and give back all that `opa eval` prints: `result`, `coverage`, ….

    Args:
        opa: the pinned binary.
        text: the query.
        bundle: a built bundle, or the root of a tree with a `.manifest`.
        given: the input.
        flags: of `opa eval`, besides those that say where things are.

    Raises:
        CommandRefused: the query does not compile, or evaluating it failed.
        PolicyUnavailable: OPA cannot be run.
    """
    printed = _run(
        opa,
        "eval",
        *("--bundle", str(bundle), "--format=json", "--stdin-input", *flags),
        text,
        directory=bundle.parent,
        given=json.dumps(given).encode("utf-8"),
    )
    document: dict[str, Any] = json.loads(printed)
    return document


def syntax(opa: Path, file: Path) -> dict[str, Any]:
    """The syntax tree of one module, as OPA has it, with locations.

    Raises:
        CommandRefused: it is no Rego.
        PolicyUnavailable: OPA cannot be run.
    """
    printed = _run(
        opa,
        *("parse", "--format=json", "--json-include=locations,-comments", file.name),
        directory=file.parent,
    )
    tree: dict[str, Any] = json.loads(printed)
    return tree


def formatted(opa: Path, module: bytes) -> bytes:
    """The module as `opa fmt` sets it.

    Raises:
        CommandRefused: it is no Rego.
        PolicyUnavailable: OPA cannot be run.
    """
    return _run(opa, "fmt", directory=opa.parent, given=module)


def _run(opa: Path, *arguments: str, directory: Path, given: bytes = b"") -> bytes:
    try:
        ended = subprocess.run(  # noqa: S603 - a path and flags, no shell
            [str(opa), *arguments],
            cwd=directory,
            env={},
            input=given,
            capture_output=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandRefused([f"OPA was not done within {COMMAND_DEADLINE_S:.0f} s"]) from error
    except OSError as error:
        raise PolicyUnavailable("OPA cannot be run.") from error
    if ended.returncode != 0:
        raise CommandRefused(_findings(ended.stderr or ended.stdout))
    return ended.stdout


def _findings(printed: bytes) -> list[str]:
    text = printed.decode("utf-8", "replace").strip()
    try:
        errors = json.loads(text)["errors"]
        return [_finding(error) for error in errors[:_FINDINGS_MAX]] or ["OPA refuses, unexplained"]
    except (ValueError, TypeError, KeyError, AttributeError):
        return text.removeprefix("error: ").splitlines()[:_FINDINGS_MAX] or ["OPA refuses"]


def _finding(error: Mapping[str, object]) -> str:
    sentence = f"{error.get('code', 'refused')}: {error['message']}"
    location = error.get("location")
    if not isinstance(location, dict) or not location.get("file"):
        return sentence
    return f"{location['file']}:{location.get('row', 0)}: {sentence}"
