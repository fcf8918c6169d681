"""Schemas of a tool in force are looked at and compiled when it is first used, and not before."""

from collections.abc import Mapping
from typing import Any

import pytest

from broker.core import compiling
from broker.core.canonical import canonical_bytes, digest
from broker.core.compiling import compiled, compiled_later
from broker.core.control import ControlRow, ControlRows, ToolCache
from broker.core.control_rows import TOOL, control_of
from broker.core.errors import Defect
from broker.core.manifest import ManifestRefused, parse, reread
from broker.core.manifest_checks import schema_findings
from tests.world import REFUND

GOOD = {"order_id": "O-1001", "amount_minor": 1, "currency": "EUR"}
BAD = {"order_id": 1, "more": True}
ARGUMENTS, ORDER = REFUND["arguments"], REFUND["facts"]["order"]
OPEN = {key: value for key, value in ARGUMENTS.items() if key != "additionalProperties"}
BACKTRACKING = {"type": "string", "pattern": "(?=a)b"}
LOOKED_BACK = {**ORDER["shape"]["properties"], "note": BACKTRACKING}


def document(**changed: Any) -> Mapping[str, Any]:
    return {**REFUND, **changed}


def in_force(body: Mapping[str, Any]) -> ControlRows:
    """As a store has it, whoever has put it there."""
    row = ControlRow(
        kind=TOOL,
        key=str(body["name"]),
        digest=digest(dict(body)),
        body=canonical_bytes(dict(body)),
    )
    return ControlRows(revision=1, rows=(row,))


def test_what_is_compiled_later_says_the_same():
    manifest = parse(document())
    now, later = compiled(manifest), compiled_later(reread(document()))
    assert later.manifest == manifest
    assert later.arguments.is_valid(GOOD)
    assert later.arguments.violations(GOOD) == ()
    assert later.arguments.violations(BAD) == now.arguments.violations(BAD) != ()
    assert later.output == now.output


def test_nothing_is_compiled_at_a_start_and_each_once_at_its_first_use(
    monkeypatch: pytest.MonkeyPatch,
):
    looked_at = []

    def counted(document: Mapping[str, Any]) -> tuple[str, ...]:
        looked_at.append(document)
        return schema_findings(document)

    monkeypatch.setattr(compiling, "schema_findings", counted)
    control, cache = control_of(in_force(document()), ToolCache())
    tool = control.tools["refund"]
    assert looked_at == []
    for _ in range(3):
        assert tool.arguments.is_valid(GOOD)
        assert tool.result is not None
        assert tool.result.is_valid({"refund_id": "r-1"})
    assert looked_at == [REFUND]
    control, _ = control_of(in_force(document()), cache)
    assert control.tools["refund"].arguments.is_valid(GOOD)
    assert len(looked_at) == 1


def test_what_is_compiled_later_has_nothing_that_others_have_not():
    later = compiled_later(parse(document())).arguments
    assert not hasattr(later, "__deepcopy__")
    assert not hasattr(later, "anything")


@pytest.mark.parametrize(
    "changed",
    [
        {"arguments": OPEN},
        {"result": BACKTRACKING},
        {"facts": {"order": {**ORDER, "shape": {**ORDER["shape"], "properties": LOOKED_BACK}}}},
    ],
    ids=["open arguments", "result", "fact"],
)
def test_nothing_fits_a_tool_of_which_a_schema_is_refused(changed: Mapping[str, Any]):
    """Whatever was written into the database: it is refused when it is registered, and here too."""
    with pytest.raises(ManifestRefused):
        parse(document(**changed))
    control, _ = control_of(in_force(document(**changed)), ToolCache())
    tool = control.tools["refund"]
    assert not tool.arguments.is_valid(GOOD)
    assert tool.arguments.violations(GOOD)
    assert tool.result is None or not tool.result.is_valid("b")


@pytest.mark.parametrize(
    "changed",
    [
        {"arguments": 1},
        {"scopes": []},
        {"runner": "nobody"},
        {"targets": ["/no_such"]},
        {"more": 1},
    ],
    ids=str,
)
def test_a_manifest_that_cannot_be_read_is_noticed_at_a_start(changed: Mapping[str, Any]):
    with pytest.raises(Defect, match="refund cannot be read"):
        control_of(in_force(document(**changed)), ToolCache())
