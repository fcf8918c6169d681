"""A bundle that could not decide well is refused, with a sentence that says why."""

import shutil
from pathlib import Path

import pytest

from broker import __version__
from broker.core.errors import PolicyUnavailable
from broker.policy.bundle import BundleRefused, PolicyBundle, build, revision_of
from broker.policy.schemas import ToolSchemas
from broker.policy.sources import library_directory
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family, opa, write_tree

REFUND = {
    "refund": ToolSchemas(
        arguments={
            "type": "object",
            "additionalProperties": False,
            "properties": {"amount_minor": {"type": "integer"}},
        },
        facts={"order": {"type": "object", "properties": {"captured_minor": {"type": "integer"}}}},
        counters=("refunds",),
    )
}


def annotated(body: str) -> dict[str, str]:
    schemas = (
        "# METADATA\n# schemas:\n#   - input: schema.input\n"
        "#   - input.call.arguments: schema.tools.refund.arguments\n"
        "#   - input.facts.order.value: schema.tools.refund.facts.order\n"
    )
    return {
        "broker/rules/sample/sample.rego": f"{schemas}package broker.rules.sample\n\n{body}\n",
    }


def allow_if(condition: str) -> str:
    return f"{ALLOW_ALL} if {condition}"


def findings(files: dict[str, str], **options) -> str:
    with pytest.raises(BundleRefused) as refused:
        bundle_of(files, **options)
    assert refused.value.findings
    assert "/tmp" not in str(refused.value)
    return str(refused.value)


def test_the_shipped_library_makes_a_bundle():
    bundle = build(opa=opa())
    rules = library_directory() / "broker" / "rules"
    assert bundle.families == tuple(sorted(folder.name for folder in rules.iterdir()))
    assert bundle.revision == revision_of(bundle.files)
    assert "broker/rules/behaviour/behaviour_cases.yaml" in bundle.files


@pytest.mark.parametrize("preset", ["balanced", "strict"])
def test_every_shipped_preset_makes_a_bundle(preset):
    assert build(opa=opa(), preset=preset).bundle


def test_the_same_sources_make_the_same_bundle():
    assert bundle_of(family(ALLOW_ALL)) == bundle_of(family(ALLOW_ALL))


def test_a_changed_source_makes_another_revision():
    assert bundle_of(family(ALLOW_ALL)).revision != bundle_of(family(ALLOW_ALL + "\n#")).revision


def test_a_changed_parameter_makes_another_revision():
    files = family(ALLOW_ALL)
    one = bundle_of(files | {"parameters/sample/data.yaml": "most: 1"})
    assert one.revision != bundle_of(files | {"parameters/sample/data.yaml": "most: 2"}).revision


def test_a_bundle_names_the_shipped_library_whatever_is_laid_over_it(tmp_path):
    tree, other = write_tree(tmp_path / "own", family(ALLOW_ALL)), tmp_path / "library"
    own = build(opa=opa(), directory=tree)
    shutil.copytree(library_directory(), other)
    shipped = build(opa=opa()).library
    assert own.library == shipped
    assert shipped is not None
    assert shipped.version == __version__
    cases = next(other.glob("broker/rules/*/*_cases.yaml"))
    cases.write_text(cases.read_text() + "# Read by nobody who decides.\n")
    assert build(opa=opa(), library=other).library == shipped
    rules = next(other.glob("broker/rules/egress/egress.rego"))
    rules.write_text(rules.read_text() + "\n# Another.\n")
    changed = build(opa=opa(), library=other)
    assert changed.library != shipped
    assert PolicyBundle.from_bytes(changed.to_bytes()).library == changed.library
    assert (own.preset, changed.preset) == ("balanced", "balanced")


def test_a_bundle_survives_being_stored():
    bundle = bundle_of(family(ALLOW_ALL))
    assert PolicyBundle.from_bytes(bundle.to_bytes()) == bundle


def test_a_stored_bundle_whose_source_was_edited_is_refused():
    bundle = bundle_of(family(ALLOW_ALL))
    edited = PolicyBundle(
        revision=bundle.revision,
        files={**bundle.files, "broker/rules/sample/sample.rego": b"package broker.rules.sample"},
        families=bundle.families,
        bundle=bundle.bundle,
    )
    with pytest.raises(BundleRefused, match="not what its revision says"):
        PolicyBundle.from_bytes(edited.to_bytes())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"files": 1}', b"[" * 100_000])
def test_bytes_that_are_no_stored_bundle_are_refused(data):
    with pytest.raises(BundleRefused, match="not a stored bundle"):
        PolicyBundle.from_bytes(data)


def test_a_family_that_vanished_is_refused_by_name():
    said = findings(family(ALLOW_ALL), previous_families=("behaviour", "refunds"))
    assert "broker/rules/refunds: the family has vanished" in said


def test_a_family_may_be_dropped_by_name():
    bundle = bundle_of(
        family(ALLOW_ALL), previous_families=("behaviour", "refunds"), dropped=("refunds",)
    )
    assert bundle.families == ("behaviour", "sample")


def test_a_family_that_is_dropped_and_there_is_refused():
    assert "still there" in findings(family(ALLOW_ALL), dropped=("sample",))


def test_a_module_that_does_not_compile_is_named_with_its_line():
    said = findings(family("verdicts contains {\n"))
    assert said.startswith("broker/rules/sample/sample.rego:")
    assert "rego_parse_error" in said


@pytest.mark.parametrize(
    "call",
    [
        'http.send({"method": "get", "url": "http://127.0.0.1"})',
        'net.lookup_ip_addr("localhost")',
        "opa.runtime()",
        "time.now_ns()",
        'rand.intn("x", 2)',
        'uuid.rfc4122("x")',
        'trace("x")',
        'print("x")',
        'io.jwt.decode_verify("x", {})',
        'json.match_schema({}, {"$ref": "http://127.0.0.1"})',
        'rego.parse_module("x", "y")',
        'crypto.x509.parse_and_verify_certificates("x")',
    ],
)
def test_a_builtin_that_reaches_outside_of_the_question_is_refused(call):
    assert "undefined function" in findings(family(allow_if(call)))


@pytest.mark.parametrize(
    "path",
    ["input.cal.tool", "input.call.tol", "input.tool.behavior.read_only", "input.session.label"],
)
def test_a_misspelt_path_is_refused_even_where_the_rule_names_no_schema(path):
    assert "undefined ref" in findings(family(allow_if(f'{path} == "x"')))


@pytest.mark.parametrize(
    "path",
    [
        "input.call.arguments.amount",
        "input.facts.order.value.captured",
        "input.facts.order.vale",
        "input.facts.ordre.value",
        "input.usage.refunds.usd",
        "input.usage.refund.used",
    ],
)
def test_a_misspelt_argument_fact_or_counter_of_a_known_tool_is_refused(path):
    assert "undefined ref" in findings(annotated(allow_if(f"{path} == 1")), tools=REFUND)


def test_what_a_known_tool_declares_can_be_read():
    body = allow_if(
        "{\n\tinput.call.arguments.amount_minor <= input.facts.order.value.captured_minor\n"
        "\tinput.usage.refunds.used < 2\n}"
    )
    assert bundle_of(annotated(body), tools=REFUND).families == ("behaviour", "sample")


def test_an_argument_compared_with_another_type_is_refused():
    body = allow_if('input.call.arguments.amount_minor == "1"')
    assert "match error" in findings(annotated(body), tools=REFUND)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("broker/decision/decision.rego", "package broker.decision"),
        ("broker/rules/sample/nested/deep.rego", "package broker.rules.sample.nested"),
        ("broker/rules/sample/data.yaml", "verdicts: []"),
        ("broker/rules/sample/sample_case.yaml", "cases: []"),
        ("broker/rules/Sample/sample.rego", "package broker.rules.Sample"),
        ("system/authz/authz.rego", "package system.authz"),
        ("capabilities.json", "{}"),
        ("schemas/input.json", "{}"),
        ("data.json", "{}"),
        ("parameters/sample/more.yaml", "a: 1"),
    ],
)
def test_a_file_in_a_place_that_means_nothing_is_refused(name, text):
    assert "not a place for such a file" in findings(family(ALLOW_ALL) | {name: text})


@pytest.mark.parametrize(
    "package", ["broker.rules.behaviour", "broker.decision", "callbroker", "system.authz", "lib.x"]
)
def test_a_module_of_another_folders_package_is_refused(package):
    said = findings({"broker/rules/sample/sample.rego": f"package {package}\n\nx := 1\n"})
    assert "is not that of its folder" in said or "do not permit" in said


def test_a_family_cannot_take_a_shipped_ones_name():
    assert "take another" in findings(family(ALLOW_ALL, name="behaviour"))


def test_a_preset_cannot_take_a_shipped_ones_name():
    assert "take another" in findings({"presets/balanced.yaml": "silence: ALLOW"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("silence: ALLOW\nhold: {}", "never ALLOW"),
        ("silence: HOLD\nhold: {reviewers: [a]}", "hold needs"),
        (
            (
                "silence: HOLD\nhold: {reviewers: [a], approvals_required: 0, "
                "decide_within_s: 1, run_within_s: 1, step_up: false}"
            ),
            "at least 1",
        ),
        (
            (
                "silence: HOLD\nhold: {reviewers: [a], approvals_required: true, "
                "decide_within_s: 1, run_within_s: 1, step_up: false}"
            ),
            "hold needs",
        ),
        ("silence: DENY\nloud: true", "have a meaning"),
        ("- 1", "not a mapping"),
    ],
)
def test_an_odd_preset_is_refused(text, why):
    assert why in findings(family(ALLOW_ALL) | {"presets/mine.yaml": text}, preset="mine")


def test_an_unknown_preset_is_refused():
    assert "there is no such preset" in findings(family(ALLOW_ALL), preset="lax")


@pytest.mark.parametrize(
    "text",
    ["most: 1\nmost: 2", "a: &x 1\nb: *x", "day: !!timestamp 2026-01-01", "a: 9007199254740992"],
)
def test_parameters_that_mean_two_things_are_refused(text):
    assert "parameters/sample/data.yaml" in findings(
        family(ALLOW_ALL) | {"parameters/sample/data.yaml": text}
    )


def test_parameters_of_no_family_are_refused():
    assert "no such family" in findings({"parameters/refunds/data.yaml": "most: 1"})


def test_a_library_without_an_entry_point_is_refused(tmp_path):
    library = write_tree(tmp_path, family(ALLOW_ALL) | _preset() | {"capabilities.json": "{}"})
    with pytest.raises(BundleRefused, match="entry point is missing"):
        build(opa=opa(), library=library)


def test_a_library_without_families_is_refused(tmp_path):
    decision = {"broker/decision/decision.rego": "package broker.decision\n\ndecision := {}\n"}
    library = write_tree(tmp_path, decision | _preset() | {"capabilities.json": "{}"})
    with pytest.raises(BundleRefused, match="no rule family at all"):
        build(opa=opa(), library=library)


@pytest.mark.parametrize(
    "decision",
    ["other := 1", 'decision := "yes"', 'decision := {"verdicts": [], "obligations": []}'],
)
def test_an_entry_point_that_does_not_answer_is_refused(tmp_path, decision):
    files = {"broker/decision/decision.rego": f"package broker.decision\n\n{decision}\n"}
    files["capabilities.json"] = (library_directory() / "capabilities.json").read_text("utf-8")
    library = write_tree(tmp_path, files | family(ALLOW_ALL) | _preset())
    with pytest.raises(BundleRefused, match="does not answer"):
        build(opa=opa(), library=library)


@pytest.mark.parametrize("body", ["x := 1", 'verdicts := "ALLOW"'])
def test_a_family_that_contributes_no_verdicts_is_refused(body):
    assert "broker/rules/sample: contributes no verdicts" in findings(family(body))


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BundleRefused, match="not a directory"):
        build(opa=opa(), directory=tmp_path / "none")


def test_without_an_opa_to_run_nothing_is_built(tmp_path):
    with pytest.raises(PolicyUnavailable):
        build(opa=tmp_path / "opa")


def test_a_link_in_the_tree_brings_nothing_in(tmp_path):
    outside = write_tree(tmp_path / "outside", family(ALLOW_ALL))
    tree = write_tree(tmp_path / "tree", family(ALLOW_ALL, name="own"))
    (tree / "broker" / "rules" / "sample").symlink_to(outside / "broker" / "rules" / "sample")
    families = build(opa=opa(), directory=tree).families
    assert set(families) - set(build(opa=opa()).families) == {"own"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("budgets", "counters: {refunds: {hold_add: 2}}"),
        ("hours", "windows: [{days: [Friday], from: '9:00', until: '17:00', offset_minutes: 0}]"),
        ("sequence", "rules: {one: {after: {tool: a}, then: {}, effect: ALLOW}}"),
    ],
)
def test_parameters_that_mean_nothing_to_a_shipped_family_are_refused(tmp_path, path, text):
    tree = write_tree(tmp_path, {f"parameters/{path}/data.yaml": text})
    with pytest.raises(BundleRefused, match=f"parameters/{path}: these mean nothing"):
        build(opa=opa(), directory=tree)


def _preset() -> dict[str, str]:
    return {
        "presets/balanced.yaml": Path(library_directory() / "presets/balanced.yaml").read_text(
            "utf-8"
        )
    }
