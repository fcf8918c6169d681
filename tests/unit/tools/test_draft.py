"""Manifests drafted from code say what the code says, and the worst of the rest."""

import types
from typing import Literal

import pytest

from broker.core.manifest import Behaviour, Output, parse
from broker.tools.draft import DraftRefused, draft, to_yaml
from broker.yaml_documents import read_yaml


def module(**members) -> types.ModuleType:
    made = types.ModuleType("desk.tools")
    for name, member in members.items():
        if isinstance(member, types.FunctionType):
            member.__module__ = "desk.tools"
        setattr(made, name, member)
    return made


def refund(*, order_id: str, amount_minor: int, currency: Literal["EUR", "USD"] = "EUR") -> dict:
    """Return money of an order.

    More that the model need not read.
    """
    raise NotImplementedError


def ping() -> None:
    raise NotImplementedError


def test_typed_functions_become_manifests_with_the_most_cautious_behaviour():
    drafts = draft(module(refund=refund, ping=ping))
    assert sorted(drafts) == ["ping", "refund"]
    manifest = parse(drafts["refund"])
    assert manifest.description == "Return money of an order."
    assert manifest.behaviour == Behaviour()
    assert manifest.output == Output()
    assert [scope.name for scope in manifest.scopes] == ["refund:use"]
    assert manifest.arguments["additionalProperties"] is False
    assert manifest.arguments["required"] == ["order_id", "amount_minor"]
    assert "{/order_id}" in manifest.summary
    assert parse(drafts["ping"]).description == "Ping."


def test_only_public_functions_of_the_module_itself_are_tools():
    def _hidden() -> None:
        raise NotImplementedError

    made = module(refund=refund, _hidden=_hidden, parse_it=refund, Number=int)
    made.imported = parse
    assert set(draft(made)) <= {"refund", "parse_it"}
    made.__all__ = ["refund"]
    assert sorted(draft(made)) == ["refund"]


def test_what_a_schema_cannot_say_is_told_by_function():
    def odd(*values: int) -> None:
        raise NotImplementedError

    with pytest.raises(DraftRefused, match="odd"):
        draft(module(odd=odd, refund=refund))


def test_a_name_that_no_tool_may_have_is_told():
    def CamelCase() -> None:  # noqa: N802
        raise NotImplementedError

    with pytest.raises(DraftRefused, match="CamelCase: /name"):
        draft(module(CamelCase=CamelCase))


def test_a_module_without_functions_is_told():
    with pytest.raises(DraftRefused, match="defines no public function"):
        draft(module())


def test_a_draft_as_a_file_reads_back_the_same():
    document = draft(module(refund=refund))["refund"]
    text = to_yaml(document)
    assert text.startswith("# yaml-language-server: $schema=../policies/schemas/manifest.json\n")
    assert read_yaml(text.encode()) == document
