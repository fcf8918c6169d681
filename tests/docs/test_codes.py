"""Every code that a program may meet is explained on one page, and none that nobody says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import grpc

from broker.core import errors
from sandboxes.refusals import Reason
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "codes.md"
REGO = [ROOT / "policies", ROOT / "examples"]
# The stubs are generated, the command line has no codes of its own, the rest scripts answers.
PASSED_OVER = ("broker/v1/", "broker/cli/", "broker/sdk/testing.py", "broker/sdk/script.py")
# Names of the kernel, of programs that are started, and of the environment.
NO_CODES_OF_NODES = (
    "sandboxes/v1/",
    "sandboxes/seccomp.py",
    "sandboxes/images/",
    "sandboxes/doctor",
)
VARIABLES = "broker/policy/opa_binary.py"  # of Go's and of the shell's environment
# Statuses of gRPC look like codes; these names are codes of ours as well.
OURS_TOO = {"NOT_FOUND", "DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE"}
STATUSES = set(grpc.StatusCode.__members__) - OURS_TOO

_CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", re.ASCII)
_REGO = re.compile(r'"code": "([A-Z0-9_]+)"')
_ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def _literals(tree: ast.AST) -> Iterator[str]:
    """Strings that read like codes: with an underscore anywhere, without one where a code goes."""
    exported = set(_exported(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if "_" in text and text not in exported:
                yield text
            case ast.keyword(arg="code", value=ast.Constant(value=str(text))):
                yield text
            case ast.Call(func=ast.Name(id="_deny"), args=[ast.Constant(value=str(text)), *_]):
                yield text
            case ast.ClassDef():
                yield from _reasons(node)
            case _:
                pass


def _exported(tree: ast.AST) -> Iterator[str]:
    """The names in `__all__`, constants among them."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=names)):
                yield from (ast.literal_eval(name) for name in names)
            case _:
                pass


def _reasons(node: ast.ClassDef) -> Iterator[str]:
    for part in node.body:
        match part:
            case (
                ast.Assign(targets=[ast.Name(id="reason")], value=ast.Constant(value=str(text)))
                | ast.AnnAssign(target=ast.Name(id="reason"), value=ast.Constant(value=str(text)))
            ):
                yield text
            case _:
                pass


def _modules() -> Iterator[Path]:
    for path in sorted((ROOT / "broker").rglob("*.py")):
        if not path.relative_to(ROOT).as_posix().startswith((*PASSED_OVER, VARIABLES)):
            yield path


def _said_by_the_broker() -> set[str]:
    written = {
        text
        for path in _modules()
        for text in _literals(ast.parse(path.read_text(encoding="utf-8")))
        if _CODE.fullmatch(text) and not text.startswith("CALLBROKER_")
    }
    return (written - STATUSES) | {kind.reason for kind in _kinds(errors.BrokerError)}


def _kinds(kind: type[errors.BrokerError]) -> Iterator[type[errors.BrokerError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


def _said_by_sandboxes() -> set[str]:
    written = {
        text
        for path in sorted((ROOT / "sandboxes").rglob("*.py"))
        if not path.relative_to(ROOT).as_posix().startswith(NO_CODES_OF_NODES)
        for text in _literals(ast.parse(path.read_text(encoding="utf-8")))
        if _CODE.fullmatch(text) and not text.startswith("CALLBROKER_")
    }
    return (written - set(grpc.StatusCode.__members__)) | {reason.value for reason in Reason}


def _said_by_policy() -> set[str]:
    return {
        code
        for tree in REGO
        for path in tree.rglob("*.rego")
        for code in _REGO.findall(path.read_text(encoding="utf-8"))
    }


def _explained() -> list[tuple[str, str, str]]:
    return _ROW.findall(PAGE.read_text(encoding="utf-8"))


def test_every_code_is_explained():
    said = _said_by_the_broker() | _said_by_sandboxes() | _said_by_policy()
    assert {"FROZEN", "CONTENDED", "STALE_ETAG", "REFUND_NOT_COVERED", "NOT_FINITE"} <= said
    assert sorted(said - {code for code, _, _ in _explained()}) == []


def test_no_code_is_explained_that_nobody_says():
    said = _said_by_the_broker() | _said_by_sandboxes() | _said_by_policy()
    assert sorted({code for code, _, _ in _explained()} - said) == []


def test_each_code_says_what_it_means_and_what_to_do():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if "| `" in line]
    assert len(rows) == len(_explained())
    assert all(means.strip() and what.strip() for _, means, what in _explained())
