"""What Rego leaves unsaid is found with its line; what its author has stated is left alone."""

import pytest

from broker.policy.lint import Declared, documented_parameters, style, traps
from broker.policy.opa_command import syntax
from broker.policy.syntax import trees
from tests.fakes.policy_trees import opa

FILE = "broker/rules/sample/sample.rego"
DENY = 'verdicts contains {"effect": "DENY", "code": "NO", "message": "No."}'
DECLARED = Declared(parameters={"sample": {"most": 3, "names": []}}, counters=frozenset({"mails"}))


def found(body: str, *, declared: Declared = DECLARED, head: str = "") -> list[str]:
    text = f"package broker.rules.sample\n{head}\n{body}\n"
    modules = {FILE: text.encode()}
    told = traps(trees(opa(), modules), declared)
    assert all(finding.startswith(f"{FILE}:") for finding in told)
    return [finding.removeprefix(f"{FILE}:") for finding in told]


@pytest.mark.parametrize(
    "condition",
    [
        'not startswith(input.call.arguments.path, "/s/")',
        'not "a" in input.session.labels',
        "not input.call.arguments.size < 3",
        'not input.call.arguments.name != "a"',
        "not data.parameters.sample.names[input.call.arguments.name]",
        "not _ok(input.call.arguments.size)",
        "not _fact == lower(input.call.arguments.name)",
        "not count(input.call.arguments.to) == 0",
        "not is_string(_fact)",
        "not seen.all(input.call.arguments.to)",
        "not is_string(seen.fact)",
        "count([1 | some x in input.call.arguments.to; not startswith(x, input.agent.owner)]) > 0",
    ],
)
def test_a_negated_call_of_what_may_be_missing_is_found(condition):
    helpers = "_ok(x) if x < 3\n\n_fact := input.facts.order.value.size"
    told = found(f"{DENY} if {{\n\t{condition}\n}}\n\n{helpers}", head="import data.lib.seen\n")
    assert [finding.partition(":")[0] for finding in told] == ["5"]
    assert "negate a helper rule" in told[0]


@pytest.mark.parametrize(
    "condition",
    [
        "not _known",
        'not input.call.arguments.name == "a"',
        "not input.tool.behaviour.read_only",
        "not _named[input.call.tool]",
        'is_array(input.session.labels)\n\tnot "a" in input.session.labels',
        'some name in input.call.arguments.to\n\tnot startswith(name, "a")',
        "some name in input.call.arguments.to\n\tnot name in _named",
        'every name in input.call.arguments.to { not startswith(name, "a") }',
        'name := input.call.arguments.name\n\tnot startswith(name, "a")',
        'startswith(input.call.arguments.name, "a")',
    ],
)
def test_what_is_bound_or_stated_or_has_a_value_always_may_be_negated(condition):
    helpers = '_known if input.call.tool == "a"\n\n_named contains "a" if _known'
    negation = condition if "_named[" not in condition else 'not "x" in _named'
    assert found(f"{DENY} if {{\n\t{negation}\n}}\n\n{helpers}") == []


@pytest.mark.parametrize(
    "condition",
    [
        "every row in [r | some r in input.facts.rows.value] { row.ok }",
        "count([r | some r in input.facts.rows.value; r.bad]) == 0",
        "count({r | some r in input.facts.rows.value; r.bad}) <= 3",
        "sum([r.size | some r in input.facts.rows.value]) < 3",
        "{r | some r in input.facts.rows.value; r.bad} == set()",
        "[r | some r in input.facts.rows.value; r.bad] == []",
        "bad := [r | some r in input.facts.rows.value; r.bad]\n\tcount(bad) == 0",
        "bad := [r | some r in input.facts.rows.value]\n\tevery row in bad { row.ok }",
    ],
)
def test_a_comprehension_over_what_may_be_missing_must_not_pass_by_being_empty(condition):
    (told,) = found(f"_ok if {{\n\t{condition}\n}}")
    assert "where input.facts.rows.value is missing" in told


@pytest.mark.parametrize(
    "condition",
    [
        "is_array(input.facts.rows.value)\n\tcount([r | some r in input.facts.rows.value]) == 0",
        "count([r | some r in input.facts.rows.value; r.bad]) > 0",
        "every row in input.facts.rows.value { row.ok }",
        "count([label | some label in input.session.labels]) == 0",
    ],
)
def test_a_comprehension_that_is_guarded_or_sure_or_proves_something_is_left_alone(condition):
    assert found(f"_ok if {{\n\t{condition}\n}}") == []


def test_unequal_to_what_may_be_missing_does_not_deny():
    condition = 'input.call.arguments.name != "a"'
    assert "this DENY is skipped" in found(f"{DENY} if {condition}")[0]
    assert found(f"{DENY} if {{\n\tis_string(input.call.arguments.name)\n\t{condition}\n}}") == []
    assert found(f'{DENY} if input.call.tool != "a"') == []
    assert found(f"_other if {condition}") == []


@pytest.mark.parametrize(
    "call",
    [
        "regex.match(`[a-z]+`, input.call.tool)",
        "regex.match(`^a|b$`, input.call.tool)",
        "regex.match(`(?m)^a$`, input.call.tool)",
        "regex.match(`^a\\$`, input.call.tool)",
        "regex.match(`^\\w+$`, input.call.tool)",
        "regex.match(input.call.arguments.pattern, input.call.tool)",
        "regex.match(data.parameters.sample.names[0], input.call.tool)",
        'glob.match("*", null, input.call.tool)',
        'glob.match("*", [], input.call.tool)',
        'glob.match("**.a", ["."], input.call.tool)',
        "count(regex.find_n(`\\d+`, input.call.tool, -1)) > 0",
    ],
)
def test_a_pattern_that_fits_too_much_is_found(call):
    assert len(found(f"_ok if {call}")) == 1


@pytest.mark.parametrize(
    "call",
    [
        "regex.match(`^[a-z]+$`, input.call.tool)",
        "regex.match(`^(a|b)$`, input.call.tool)",
        "regex.match(`^[|(]$`, input.call.tool)",
        'glob.match("*.example.com", ["."], input.call.tool)',
    ],
)
def test_a_pattern_with_both_ends_is_left_alone(call):
    assert found(f"_ok if {call}") == []


@pytest.mark.parametrize("value", ["true", '{"effect": "ALLOW", "code": "A", "message": "A."}'])
def test_a_default_may_not_allow(value):
    assert "may not allow" in found(f"default _ok := {value}")[0]
    assert found("default _ok := false") == []


@pytest.mark.parametrize(
    ("verdict", "finding"),
    [
        ('"code": input.call.tool, "message": "x"', "the code of a verdict is a constant"),
        ('"code": "X", "message": input.call.tool', "the message of a verdict is a constant"),
        ('"code": "X", "message": sprintf("%s", ["x"])', "the message of a verdict is a constant"),
        (
            '"code": "X", "message": "x", "hold": {"reviewers": [input.call.arguments.who]}',
            "who decides a hold must not come from input.call.arguments.who",
        ),
        (
            '"code": "X", "message": "x", "hold": {"reviewers": [who]}',
            "who decides a hold must not come from input.facts.order.value.owner",
        ),
        (
            '"code": "X", "message": "x", "hold": input.facts.order.value',
            "who decides a hold must not come from input.facts.order.value",
        ),
    ],
)
def test_what_a_verdict_says_does_not_come_from_the_call(verdict, finding):
    head = f'verdicts contains {{"effect": "HOLD", {verdict}}}'
    told = found(f"{head} if {{\n\twho := input.facts.order.value.owner\n\twho == who\n}}")
    assert [one.partition(": ")[2] for one in told] == [finding]


def test_terms_from_parameters_are_left_alone():
    hold = '"hold": {"reviewers": data.parameters.sample.names}'
    assert (
        found(f'verdicts contains {{"effect": "HOLD", "code": "X", "message": "x", {hold}}}') == []
    )


def test_a_parameter_that_nothing_declares_is_found():
    (told,) = found("_ok if input.call.arguments.size < data.parameters.sample.least")
    assert told == "3: nothing declares the parameter data.parameters.sample.least"
    assert found("_ok if data.parameters.other.most == 1") != []
    assert found("_ok if data.parameters.sample.most == 1") == []
    known = Declared(parameters={}, documented={"sample": frozenset({"least"})})
    assert found("_ok if data.parameters.sample.least == 1", declared=known) == []


def test_a_counter_that_no_manifest_has_is_found():
    (told,) = found("_ok if input.usage.calls.used < 3")
    assert told == "3: no tool's manifest has a limit calls"
    assert found("_ok if input.usage.mails.used < 3") == []
    assert found("_ok if input.usage.calls.used < 3", declared=Declared(parameters={})) == []


def test_an_annotation_declares_parameters(tmp_path):
    path = tmp_path / "a.rego"
    path.write_text(
        "# METADATA\n# title: A\n# custom:\n#   parameters:\n#     most: How many.\npackage a\n"
    )
    assert documented_parameters(syntax(opa(), path)) == {"most"}


UNSURE = "where input.call.arguments.size is missing, this HOLD is skipped"
GOOD = """\
# METADATA
# title: A sample
# description: For a test.
package broker.rules.sample

_ok if input.call.tool == "a"
"""


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (GOOD, ""),
        (GOOD.replace("_ok if", "_ok  if"), ":6: not as `opa fmt` sets it"),
        (GOOD + "\n" + "# a comment\n" * 119, ": 126 lines, more than 120"),
        (GOOD.replace("_ok", "ok"), ":6: ok is a helper: its name begins with _"),
        (GOOD.replace("# description: For a test.\n", ""), ": the package has no METADATA"),
    ],
)
def test_how_a_family_should_read(text, finding):
    modules = {FILE: text.encode()}
    told = style(opa(), modules)
    assert [finding in one for one in told] == ([True] if finding else [])


def test_a_constant_for_each_tool_is_a_constant():
    head = 'verdicts contains {"effect": "HOLD", "code": "X", "message": "x", "hold": terms}'
    told = found(f'{head} if {{\n\tterms := {{"pay": {{"reviewers": ["a"]}}}}[input.call.tool]\n}}')
    assert told == []


def read_otherwise(verdict, body="true"):
    """What `check` says of the rows of a rule's head (8) and body (from 9)."""
    text = f"{GOOD}\nverdicts contains {{{verdict}}} if {{\n\t{body}\n}}\n"
    told = style(opa(), {FILE: text.encode()})
    return [one.removeprefix(f"{FILE}:") for one in told if "opa fmt" not in one]


@pytest.mark.parametrize("effect", ['"HOLDD"', '"hold"', '""', "true", "null", '["HOLD"]'])
def test_what_is_no_effect_is_told_with_its_line(effect):
    verdict = f'"effect": {effect}, "code": "X", "message": "x."'
    assert read_otherwise(verdict) == [
        f"8: {effect} is no effect, and only denies: write ALLOW, HOLD or DENY"
    ]
    held = '"effect": "HOLD", "code": "X", "message": "x."'
    assert read_otherwise(held) == []
    assert read_otherwise(held, f"other := {{{verdict}}}\n\tother.code")[0].startswith("9: ")


@pytest.mark.parametrize("effect", ["effect", "input.call.tool", 'lower("HOLD")'])
def test_an_effect_that_is_reckoned_is_left_alone(effect):
    assert read_otherwise(f'"effect": {effect}, "code": "X", "message": "x."') == []


HELD = '"effect": "HOLD", "code": "X", "message": "x."'


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ("input.call.arguments.size > 5", 9),
        ("5 <= input.call.arguments.size", 9),
        ("input.call.arguments.size + 1 >= 5", 9),
        ("count(input.call.arguments.size) > 5", 9),
        ("size := input.call.arguments.size\n\tsize > 5", 10),
        ("size := input.call.arguments.size * 2\n\t5 < size", 10),
        ('input.call.tool == "pay"\n\tinput.call.arguments.size > 5', 10),
    ],
)
def test_a_hold_for_what_is_large_is_told_what_a_missing_amount_does(body, row):
    (told,) = read_otherwise(HELD, body)
    assert told.startswith(f"{row}: {UNSURE}: negate a helper rule")


def test_two_borders_are_no_guard_of_each_other():
    told = read_otherwise(HELD, "input.call.arguments.size > 5\n\tinput.call.arguments.size < 9")
    assert [one.partition(":")[0] for one in told] == ["9", "10"]


@pytest.mark.parametrize(
    "body",
    [
        "is_number(input.call.arguments.size)\n\tinput.call.arguments.size > 5",
        "size := input.call.arguments.size\n\tis_number(size)\n\tsize > 5",
        'object.get(input.call.arguments, "size", 9) > 5',
        "some size in input.call.arguments.sizes\n\tsize > 5",
        "count([1 | some size in input.call.arguments.sizes; size > 5]) > 0",
        "input.usage.mails.used > 5",
        "input.history.send_mail.ALLOW.count > 0",
        "not _small",
    ],
)
def test_what_is_guarded_or_bound_or_counted_by_the_broker_may_be_compared(body):
    assert read_otherwise(HELD, body) == []


def test_an_effect_that_is_reckoned_keeps_no_trap_from_being_looked_for():
    verdict = 'verdicts contains {"effect": effect, "code": "X", "message": "x."}'
    body = '\teffect := data.parameters.sample.most\n\tinput.call.arguments.name != "a"'
    assert found(f"{verdict} if {{\n{body}\n}}") == []
    listed = verdict.replace(": effect", ': ["HOLD"]')
    assert found(f"{listed} if {{\n{body}\n}}") == []


def test_an_allow_may_compare_what_is_missing():
    allowed = HELD.replace("HOLD", "ALLOW")
    assert read_otherwise(allowed, "input.call.arguments.size < 5") == []
