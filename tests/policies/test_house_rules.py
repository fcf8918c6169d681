"""Rego here is formatted, strict, described, and calls nothing that a replay could not repeat."""

import json
import subprocess
from pathlib import Path

import pytest

from broker.policy.bundle import build
from broker.policy.lint import Declared, documented_parameters, own_modules, style, traps
from broker.policy.sources import library_directory
from broker.policy.syntax import trees
from tests.fakes.policy_trees import opa
from tests.policies.trees import TREES, tools_beside

ROOTS = [path or library_directory() for path in TREES.values()]
MODULES = [path for root in ROOTS for path in sorted(root.rglob("*.rego"))]
FOLDERS = sorted({module.parent for module in MODULES})
LINES_MAX = 120
NOWHERE = Path("/nowhere")  # so that every module is judged, the shipped ones too

# What a rule may not call, and why; `policies/README.md` says the same in words.
WITHHELD = {
    "the network": {"http.send", "net.lookup_ip_addr", "json.match_schema", "json.verify_schema"},
    "the clock": {
        "time.now_ns",
        "io.jwt.decode_verify",
        "io.jwt.encode_sign",
        "io.jwt.encode_sign_raw",
        "crypto.x509.parse_and_verify_certificates",
        "crypto.x509.parse_and_verify_certificates_with_options",
    },
    "chance": {"rand.intn", "uuid.rfc4122"},
    "the process": {"opa.runtime", "trace", "print", "internal.print", "rego.parse_module"},
    "credentials": {"providers.aws.sign_req"},
}


@pytest.mark.parametrize("label", TREES)
def test_nothing_is_let_through_by_what_a_rule_does_not_say(label):
    bundle = build(opa=opa(), directory=TREES[label], tools=tools_beside(TREES[label]))
    modules = own_modules(bundle.files, library=NOWHERE)
    read = trees(opa(), modules)
    documented = {}
    for path, tree in read.items():
        family = path.split("/")[-2]
        documented[family] = documented.get(family, frozenset()) | documented_parameters(tree)
    parameters = json.loads(bundle.files["parameters/data.json"])
    rules = {path: tree for path, tree in read.items() if not path.startswith("broker/decision/")}
    assert traps(rules, Declared(parameters=parameters, documented=documented)) == []
    assert [told for told in style(opa(), modules) if not told.startswith("broker/decision/")] == []


def run(*arguments):
    return subprocess.run([opa(), *arguments], capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_the_module_is_formatted(module):
    assert run("fmt", "--fail", module).returncode == 0


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_the_module_is_short(module):
    assert len(module.read_text("utf-8").splitlines()) <= LINES_MAX


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_package_says_what_it_is_for(folder):
    reports = [
        json.loads(run("inspect", "--annotations", "--format=json", module).stdout)
        for module in sorted(folder.glob("*.rego"))
    ]
    (package,) = [
        entry["annotations"]
        for report in reports
        for entry in report.get("annotations", [])
        if entry["annotations"]["scope"] == "package"
    ]
    assert package.get("title")
    assert package.get("description")


@pytest.mark.parametrize("root", ROOTS, ids=lambda path: path.parent.name)
def test_the_tree_passes_the_strict_check(root):
    capabilities = library_directory() / "capabilities.json"
    ended = run("check", "--bundle", "--strict", "--capabilities", capabilities, root)
    assert ended.returncode == 0, ended.stderr


def test_the_capabilities_are_the_pinned_opas_less_what_cannot_be_repeated():
    pinned = json.loads(run("capabilities", "--current").stdout)
    ours = json.loads((library_directory() / "capabilities.json").read_text("utf-8"))
    withheld = set().union(*WITHHELD.values())
    expected = [b for b in pinned["builtins"] if b["name"] not in withheld]
    assert ours["builtins"] == expected
    assert ours["allow_net"] == []
    assert (ours["features"], ours["future_keywords"]) == (
        pinned["features"],
        pinned["future_keywords"],
    )


def test_everything_that_opa_calls_nondeterministic_is_withheld():
    ours = json.loads((library_directory() / "capabilities.json").read_text("utf-8"))
    assert [b["name"] for b in ours["builtins"] if b.get("nondeterministic")] == []


def test_the_entry_point_is_the_only_one():
    module = library_directory() / "broker" / "decision" / "decision.rego"
    report = json.loads(run("inspect", "--annotations", "--format=json", module).stdout)
    marked = [a["path"] for a in report["annotations"] if a["annotations"].get("entrypoint")]
    assert [[step["value"] for step in path] for path in marked] == [
        ["data", "broker", "decision", "decision"]
    ]
