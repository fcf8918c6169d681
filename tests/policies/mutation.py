"""Judges mutants of rules by the cases of their families.

A mutant is a copy of its family under another name, so that many are one evaluation. A mutant that
the strict, typed check refuses can come into force nowhere, and is none.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from broker.policy import opa_command
from broker.policy.bundle import PolicyBundle
from broker.policy.cases.judging import differences
from broker.policy.cases.running import Outcome, given_of, outcome_of
from broker.policy.cases.tables import Case
from broker.policy.opa_command import CommandRefused
from broker.policy.schemas import write_schemas
from broker.policy.sources import library_directory
from broker.policy.syntax import (
    trees,
)
from tests.fakes.policy_trees import opa
from tests.policies.mutants import Mutant, mutants_of

CASES_A_RUN = 1_500
ROUNDS = 4  # most mutants are caught by any quarter of the cases
QUERY = """{i: said |
	some i, asked in input.cases
	question := input.values[asked.question]
	parameters := input.values[asked.parameters]
	family := asked.family
	said := data.broker.rules[family].said with input as question
		with data.parameters as parameters
}"""
SAID = """package broker.rules.{name}

said := {{
	"verdicts": [verdict | some verdict in data.broker.rules.{name}.verdicts],
	"obligations": [obligation | some obligation in data.broker.rules.{name}.obligations],
}}
"""


def survivors(bundle: PolicyBundle, cases: list[Case], mutants: list[Mutant]) -> list[Mutant]:
    """The mutants that no case catches."""
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(
            lambda batch: _survivors(bundle, cases, batch),
            list(_batches(mutants, cases, _modules(bundle))),
        )
        return [mutant for part in parts for mutant in part]


def _modules(bundle: PolicyBundle) -> dict[str, bytes]:
    return {
        path: data
        for path, data in bundle.files.items()
        if path.endswith(".rego") and not path.endswith("_test.rego")
    }


def _batches(
    mutants: list[Mutant], cases: list[Case], modules: dict[str, bytes]
) -> Iterator[list[Mutant]]:
    batch: list[Mutant] = []
    weight = 0
    for mutant in mutants:
        families = _families(mutant, modules)
        batch.append(mutant)
        weight += sum(1 for case in cases if case.family in families)
        if weight >= CASES_A_RUN:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _families(mutant: Mutant, modules: dict[str, bytes]) -> set[str]:
    """The families that a mutant of a family, or of what families share, may change."""
    if mutant.unit.startswith("broker/rules/"):
        return {mutant.unit.split("/")[2]}
    shared = _package(mutant.unit)
    return {
        path.split("/")[2]
        for path, data in modules.items()
        if path.startswith("broker/rules/") and re.search(rb"\bdata\.%s\b" % shared.encode(), data)
    }


def _survivors(bundle: PolicyBundle, cases: list[Case], mutants: list[Mutant]) -> list[Mutant]:
    modules = _modules(bundle)
    terms = json.loads(bundle.files["callbroker/data.json"])["hold"]
    with tempfile.TemporaryDirectory() as directory:
        tree, schemas = Path(directory) / "tree", Path(directory) / "schemas"
        write_schemas(schemas, {})
        _lay_out(tree, bundle, modules, mutants)
        caught = _drop_refused(tree, schemas)
        affected = [
            [case for case in cases if case.family in _families(mutant, modules)]
            for mutant in mutants
        ]
        for step in range(ROUNDS):
            asked = [
                (number, case)
                for number, those in enumerate(affected)
                for case in those[step::ROUNDS]
            ]
            caught |= _caught(tree, [one for one in asked if one[0] not in caught], terms)
    return [mutant for number, mutant in enumerate(mutants) if number not in caught]


def _caught(tree: Path, asked: list[tuple[int, Case]], terms: dict[str, Any]) -> set[int]:
    """The numbers of the mutants that these cases catch."""
    caught: set[int] = set()
    while (outcomes := _outcomes(tree, asked, erred=caught, terms=terms)) is None:
        asked = [(number, case) for number, case in asked if number not in caught]
    return caught | {
        number
        for (number, case), outcome in zip(asked, outcomes, strict=True)
        if differences(case.expected, outcome)
    }


def _lay_out(
    tree: Path, bundle: PolicyBundle, modules: dict[str, bytes], mutants: list[Mutant]
) -> None:
    files = {path: data for path, data in modules.items() if path.startswith("lib/")}
    files["parameters/data.json"] = bundle.files["parameters/data.json"]
    for number, mutant in enumerate(mutants):
        files |= _copies(number, mutant, modules)
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)


def _outcomes(
    tree: Path, asked: list[tuple[int, Case]], *, erred: set[int], terms: dict[str, Any]
) -> list[Outcome] | None:
    """What each mutant's copy of a case's family says, without the entry point around it.

    None where one of them errs, which denies and so fails the case: its number is in `erred` then.
    """
    copies = [replace(case, family=f"{case.family}__m{number}") for number, case in asked]
    try:
        printed = opa_command.query(opa(), QUERY, bundle=tree, given=given_of(copies))
    except CommandRefused as refused:
        numbers = {int(number) for number in re.findall(r"__m([0-9]+)/", refused.findings[0])}
        if not numbers:
            raise
        erred |= numbers
        return None
    answers = printed["result"][0]["expressions"][0]["value"]
    return [_outcome(answers[str(number)], terms) for number in range(len(asked))]


def _outcome(answer: Any, terms: dict[str, Any]) -> Outcome:
    """As the entry point would have it: terms completed from the preset."""
    for verdict in answer["verdicts"]:
        if verdict["effect"] == "HOLD":
            said = verdict.get("hold", {})
            verdict["hold"] = {**terms, **said} if isinstance(said, dict) else {}
    return outcome_of(
        {**answer, "verdicts": [{**verdict, "family": "x"} for verdict in answer["verdicts"]]}
    )


def _copies(number: int, mutant: Mutant, modules: dict[str, bytes]) -> dict[str, bytes]:
    """The modules that the mutant is made of, under names of its own."""
    units = {mutant.unit} | {f"broker/rules/{f}" for f in _families(mutant, modules)}
    copies: dict[str, bytes] = {}
    for path, data in modules.items():
        unit, _, file = path.rpartition("/")
        if unit not in units:
            continue
        source = mutant.source if path == mutant.file else data
        copies[f"{unit}__m{number}/{file}"] = _renamed(source, units, number)
    for unit in units:
        if unit.startswith("broker/rules/"):
            name = f"{unit.rpartition('/')[2]}__m{number}"
            copies[f"{unit}__m{number}/said.rego"] = SAID.format(name=name).encode()
    return copies


def _renamed(source: bytes, units: Iterable[str], number: int) -> bytes:
    for unit in units:
        package = _package(unit).encode()
        copy = package + b"__m%d" % number
        name = package.rpartition(b".")[2]
        source = re.sub(rb"(?m)^package %s$" % package, b"package " + copy, source)
        source = re.sub(
            rb"(?m)^import data\.%s$" % package, b"import data.%s as %s" % (copy, name), source
        )
        source = re.sub(rb"\bdata\.%s\b" % package, b"data." + copy, source)
    return source


def _package(unit: str) -> str:
    return unit.replace("/", ".")


def _drop_refused(tree: Path, schemas: Path) -> set[int]:
    """Take away the mutants that the check refuses; their numbers."""
    refused: set[int] = set()
    capabilities = library_directory() / "capabilities.json"
    while True:
        ended = subprocess.run(
            [
                *(opa(), "check", "--bundle", "--strict", "--format=json", "--max-errors=100000"),
                *(f"--capabilities={capabilities}", f"--schema={schemas}", "."),
            ],
            cwd=tree,
            capture_output=True,
            check=False,
            timeout=60,
        )
        if ended.returncode == 0:
            return refused
        errors = json.loads(ended.stderr or ended.stdout)["errors"]
        files = {error["location"]["file"] for error in errors}
        numbers = {int(n) for file in files for n in re.findall(r"__m([0-9]+)/", file)}
        assert numbers, errors
        for number in numbers:
            for folder in [
                *tree.glob(f"broker/rules/*__m{number}"),
                *tree.glob(f"lib/*__m{number}"),
            ]:
                for file in folder.iterdir():
                    file.unlink()
                folder.rmdir()
        refused |= numbers


def untested(files: dict[str, bytes]) -> list[Mutant]:
    """The mutants of these modules that no Rego test among them catches.

    Args:
        files: modules and tests, by path; those whose names end in `_test.rego` judge the others.
    """
    modules = {path: data for path, data in files.items() if not path.endswith("_test.rego")}
    parsed = trees(opa(), modules)
    found = [m for path, data in modules.items() for m in mutants_of(path, data, parsed[path])]
    with ThreadPoolExecutor(2) as pool:
        passed = pool.map(
            lambda mutant: passes_its_tests(files | {mutant.file: mutant.source}), found
        )
        return [mutant for mutant, lived in zip(found, passed, strict=True) if lived]


def passes_its_tests(files: dict[str, bytes]) -> bool:
    """Whether the Rego tests among these files pass; what does not compile passes none."""
    with tempfile.TemporaryDirectory() as directory:
        for name, data in files.items():
            path = Path(directory) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        ended = subprocess.run(
            [opa(), "test", "--bundle", "."],
            cwd=directory,
            capture_output=True,
            check=False,
            timeout=60,
        )
    return ended.returncode == 0


def mutants_by_unit(bundle: PolicyBundle) -> dict[str, list[Mutant]]:
    """The mutants of each family and of each folder that families share."""
    modules = {
        path: data
        for path, data in _modules(bundle).items()
        if path.startswith(("broker/rules/", "lib/"))
    }
    found = trees(opa(), modules)
    units: dict[str, list[Mutant]] = {}
    for path, data in modules.items():
        for mutant in mutants_of(path, data, found[path]):
            units.setdefault(mutant.unit, []).append(mutant)
    return units
