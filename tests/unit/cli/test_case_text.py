"""A case as YAML reads back as it was, whatever strangers wrote into the call."""

from hypothesis import given
from hypothesis import strategies as st

from broker.cli.case_text import WIDTH, case_lines, flow
from broker.yaml_documents import read_yaml

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
    | st.sampled_from(["null", "yes", "1", "1.5", "- a", "a: b", "#", "~", "2026-01-01", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(name=_TEXT, members=st.dictionaries(_TEXT, _VALUES, max_size=4))
def test_a_case_is_read_back_as_it_was(name, members):
    lines = "\n".join(case_lines(name, members, {"codes": []}))
    wanted = {"case": name, **({"given": members} if members else {}), "expect": {"codes": []}}
    assert repr(read_yaml(f"cases:\n{lines}\n".encode())) == repr({"cases": [wanted]})


@given(value=_VALUES)
def test_nothing_in_it_is_obeyed_by_a_terminal(value):
    assert all(c.isprintable() and ord(c) <= 0x24F for c in flow(value))


def test_short_things_are_on_one_line_and_long_ones_member_by_member():
    given = {"call": {"tool": "refund", "arguments": {"order_id": "O-1001"}}}
    assert [*case_lines("One", given, {"effect": "HOLD", "codes": ["A_B"]})] == [
        '  - case: "One"',
        "    given: {call: {tool: refund, arguments: {order_id: O-1001}}}",
        "    expect: {effect: HOLD, codes: [A_B]}",
    ]
    given["call"]["arguments"]["reason"] = "x" * WIDTH
    lines = [*case_lines("One", given, {"codes": []})]
    assert lines[1:5] == [
        "    given:",
        "      call:",
        "        tool: refund",
        "        arguments:",
    ]
