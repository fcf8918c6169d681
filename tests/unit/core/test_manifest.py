"""A manifest is read whole, and every problem in it is told at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.core.manifest import (
    Behaviour,
    ManifestRefused,
    Output,
    SandboxSpec,
    carried,
    parse,
    reached,
    warnings,
)
from broker.core.pointers import Pointer, Reference
from broker.core.stores import effective_output
from broker.tools.schema_file import schema_file
from tests.fakes.desk import ARGUMENTS, document

SCHEMA_FILE = Path(__file__).parents[3] / "policies" / "schemas" / "manifest.json"
CLOSED = {"type": "object", "additionalProperties": False, "properties": {}}
SMALLEST = {
    "name": "ping",
    "description": "Answers.",
    "summary": "Ping",
    "arguments": CLOSED,
    "scopes": [{"name": "ping:use"}],
}


IMAGE = f"sha256:{'0f' * 32}"


def sandboxed(**changes: Any) -> dict[str, Any]:
    given = {"image": IMAGE, **changes}
    section = {key: value for key, value in given.items() if value is not None}
    return document(runner="sandbox", sandbox=section)


def fact(**changes: Any) -> dict[str, Any]:
    given = {**document()["facts"]["order"], **changes}
    return {"order": {key: value for key, value in given.items() if value is not None}}


def refusal(given: dict[str, Any]) -> str:
    with pytest.raises(ManifestRefused) as refused:
        parse(given)
    return str(refused.value)


def test_a_full_manifest_is_read_into_types():
    manifest = parse(document())
    assert manifest.name == "refund"
    assert manifest.output == Output(trust="trusted", sensitivity="none")
    assert manifest.behaviour == Behaviour(
        read_only=False, destructive=True, idempotent=True, open_world=False
    )
    assert manifest.targets == (Pointer(("order_id",)),)
    assert manifest.facts["order"].parameters == {"order_id": Reference.parse("/order_id")}
    assert manifest.scopes[0].where == {
        Reference.parse("order#/customer_id"): Reference.parse("principal#/id"),
    }
    assert (manifest.limits["refunds"].maximum, manifest.limits["refunds"].sum) == (5, None)
    assert str(manifest.limits["refunded_minor"].currency) == "/currency"
    assert manifest.exclusive[0].name == "order_id"
    assert manifest.review.preview == {"deadline_s": 2}
    assert warnings(manifest) == ()


def test_what_a_manifest_does_not_say_is_assumed_at_its_worst():
    manifest = parse(dict(SMALLEST))
    assert manifest.behaviour == Behaviour(
        read_only=False, destructive=True, idempotent=False, open_world=True
    )
    assert manifest.output == Output(trust="untrusted", sensitivity="secret")
    assert manifest.targets is None
    assert manifest.runner == "worker"


def test_a_sandbox_is_an_image_by_digest_strict_and_without_files_unless_it_says_more():
    manifest = parse(sandboxed())
    assert (manifest.runner, manifest.sandbox) == ("sandbox", SandboxSpec(image=IMAGE))
    assert parse(document()).sandbox is None
    files = {"in": ["/order_id"], "out": {"max": 3}}
    assert parse(sandboxed(profile="compute", files=files)).sandbox == SandboxSpec(
        image=IMAGE,
        profile="compute",
        files_in=(Pointer(("order_id",)),),
        files_out_max=3,
        files_out_bytes_max=4 * 1024 * 1024,
    )


def test_another_image_is_another_revision():
    other = sandboxed(image=f"sha256:{'f0' * 32}")
    assert parse(other).revision != parse(sandboxed()).revision


def test_what_only_reads_destroys_nothing_unless_it_says_both():
    assert not parse({**SMALLEST, "behaviour": {"read_only": True}}).behaviour.destructive
    both = {"read_only": True, "destructive": True}
    assert "either read_only or destructive" in refusal({**SMALLEST, "behaviour": both})


def test_undeclared_targets_of_a_tool_that_writes_are_every_leaf():
    assert reached(parse(document()), ARGUMENTS) == ("/order_id",)
    open_to_doubt = parse(document(targets=None, payload=None))
    assert reached(open_to_doubt, ARGUMENTS) == ("/order_id", "/amount_minor", "/currency")
    assert carried(open_to_doubt, ARGUMENTS) == reached(open_to_doubt, ARGUMENTS)
    reads = {"read_only": True, "open_world": False}
    assert reached(parse({**SMALLEST, "behaviour": reads}), {"a": 1}) == ()


def test_the_schema_that_editors_use_is_the_one_that_decides():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_file(), (
        "python -m broker.tools.schema_file > policies/schemas/manifest.json"
    )


def test_the_order_of_keys_changes_nothing():
    backwards = dict(reversed(document().items()))
    assert parse(backwards).revision == parse(document()).revision


def test_every_problem_is_told_at_once():
    found = refusal(document(exclusive=["/order"], targets=["/nobody"], runner="http"))
    assert len(found.splitlines()) == 3


def _without(key: str) -> Callable[[], dict[str, Any]]:
    return lambda: document(**{key: None})


BROKEN = [
    ("no_scopes", _without("scopes"), ": add scopes"),
    ("empty_scopes", lambda: document(scopes=[]), "/scopes"),
    ("no_name", _without("name"), ": add name"),
    ("name", lambda: document(name="Refund it"), "/name"),
    ("misspelt_key", lambda: document(behavior={}), "did you mean behaviour?"),
    ("unknown_in_fact", lambda: document(facts=fact(sqll="x")), "did you mean sql?"),
    ("type", lambda: document(deadline_s="soon"), "/deadline_s"),
    ("endless_deadline", lambda: document(deadline_s=1e9), "/deadline_s"),
    ("runner", lambda: document(runner="http"), "http is not available yet"),
    ("no_sandbox", lambda: document(runner="sandbox"), ": add sandbox"),
    ("sandbox_elsewhere", lambda: document(sandbox={"image": IMAGE}), "/sandbox: leave it out"),
    ("no_image", lambda: sandboxed(image=None), "/sandbox: add image"),
    ("image_by_tag", lambda: sandboxed(image="python:3.13"), "name the image by its digest"),
    ("image_by_registry", lambda: sandboxed(image=f"python@{IMAGE}"), "callbroker sandbox build"),
    ("upper_case", lambda: sandboxed(image=IMAGE.upper()), "/sandbox/image: name the image"),
    ("image_and_more", lambda: sandboxed(image=IMAGE + "\n"), "/sandbox/image: name the image"),
    ("profile", lambda: sandboxed(profile="../strict"), "/sandbox/profile"),
    ("mounts", lambda: sandboxed(mounts=["/:/host"]), "/sandbox/mounts: no such key"),
    ("command", lambda: sandboxed(command=["sh"]), "/sandbox/command: no such key"),
    ("file", lambda: sandboxed(files={"in": ["/nothing"]}), "/nothing is no argument"),
    ("file_number", lambda: sandboxed(files={"in": ["/amount_minor"]}), "must be a string"),
    ("files_out", lambda: sandboxed(files={"out": {}}), "/sandbox/files/out: add max"),
    ("files_out_many", lambda: sandboxed(files={"out": {"max": 10_000}}), "/files/out/max"),
    ("unknown_runner", lambda: document(runner="ssh"), "/runner"),
    ("open_arguments", lambda: document(arguments={"type": "object"}), "/arguments"),
    ("remote_reference", lambda: document(result={"$ref": "https://x.test/y"}), "/result"),
    ("bad_shape", lambda: document(facts=fact(shape={"type": "thing"})), "/facts/order/shape"),
    ("no_shape", lambda: document(facts=fact(shape=None)), "add shape"),
    ("sql_and_url", lambda: document(facts=fact(url="https://x.test/a")), "one of sql and url"),
    ("neither", lambda: document(facts=fact(sql=None)), "one of sql and url"),
    ("writes", lambda: document(facts=fact(sql="DELETE FROM orders")), "only reads"),
    (
        "two_statements",
        lambda: document(facts=fact(sql="SELECT :order_id; SELECT 2")),
        "semicolon",
    ),
    ("unbound", lambda: document(facts=fact(parameters={})), "bind order_id"),
    (
        "unused",
        lambda: document(facts=fact(parameters={"order_id": "/order_id", "x": "/currency"})),
        "/facts/order/parameters/x: it is not used",
    ),
    (
        "parameter",
        lambda: document(facts=fact(parameters={"order_id": "/order"})),
        "/order is no argument",
    ),
    ("absent_of_many", lambda: document(facts=fact(rows="many")), "/facts/order/absent"),
    ("each", lambda: document(facts=fact(parameters={"order_id": "each#"})), "for_each"),
    ("each_unused", lambda: document(facts=fact(for_each="/order_id")), "bind one to each#"),
    ("reserved", lambda: document(facts={"session": fact()["order"]}), "choose another name"),
    ("targets", lambda: document(targets=["/nobody"]), "/targets/0: /nobody is no argument"),
    ("exclusive_absent", lambda: document(exclusive=["/order"]), "/exclusive/0"),
    ("exclusive_optional", lambda: document(exclusive=["/reason"]), "make /reason a required"),
    ("limit_both", lambda: document(limits={"a": {"per": "tool", "window_s": 1}}), "either calls"),
    (
        "limit_text",
        lambda: document(
            limits={"a": {"per": "tool", "window_s": 1, "sum": "/currency", "maximum": 5}},
        ),
        "point to an integer",
    ),
    (
        "scope_fact",
        lambda: document(scopes=[{"name": "a", "where": {"user#/id": "principal#/id"}}]),
        "user is no fact of this tool; declared: order",
    ),
    (
        "scope_column",
        lambda: document(scopes=[{"name": "a", "where": {"order#/owner": "principal#/id"}}]),
        "order#/owner is not in the shape",
    ),
    (
        "scope_principal",
        lambda: document(scopes=[{"name": "a", "where": {"/order_id": "principal#/name"}}]),
        "principal#/name is not known",
    ),
    ("summary", lambda: document(summary="Refund {/amount}"), "/summary: /amount is no argument"),
    ("summary_brace", lambda: document(summary="Refund {"), "/summary"),
    ("not_json", lambda: document(description=float("nan")), "canonical form"),
    ("huge", lambda: document(description="x" * 300_000), "make it smaller"),
]


@pytest.mark.parametrize(("given", "told"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_problem_is_told_with_its_place(given, told):
    assert told in refusal(given())


def test_facts_may_use_each_other_in_any_order_but_not_in_a_circle():
    one = fact()["order"]
    customer = {
        "source": "shop",
        "sql": "SELECT name FROM customers WHERE id = :id",
        "parameters": {"id": "order#/customer_id"},
        "shape": {"type": "object", "properties": {"name": {"type": "string"}}},
    }
    manifest = parse(document(facts={"customer": customer, "order": one}))
    assert list(manifest.facts) == ["customer", "order"]
    circle = {**one, "parameters": {"order_id": "customer#/name"}}
    found = refusal(document(facts={"customer": customer, "order": circle}))
    assert "break the circle" in found


def test_an_exclusive_array_is_bounded():
    arguments = {
        "type": "object",
        "additionalProperties": False,
        "required": ["ids"],
        "properties": {"ids": {"type": "array", "items": {"type": "string"}}},
    }
    given = {**SMALLEST, "arguments": arguments, "exclusive": [{"as": "item", "value": "/ids"}]}
    assert "maxItems of at most 50" in refusal(given)
    arguments["properties"]["ids"]["maxItems"] = 50
    assert parse(given).exclusive[0].name == "item"


def test_a_fact_by_url_has_a_constant_host():
    http = {"sql": None, "url": "https://{order_id}.test/orders"}
    assert "host constant" in refusal(document(facts=fact(**http)))
    parse(document(facts=fact(**{**http, "url": "https://shop.test/orders/{order_id}"})))


def test_whoever_registers_a_tool_of_the_agents_own_process_is_told_what_it_costs():
    review = {key: value for key, value in document()["review"].items() if key != "preview"}
    manifest = parse(document(runner="caller", review=review))
    told = "\n".join(warnings(manifest))
    assert "its word is all that is recorded" in told
    assert "/output/trust: counts as untrusted" in told
    assert "/behaviour/destructive" in told
    assert effective_output(manifest, {}).trust == "untrusted"


def test_warnings_name_what_is_worth_a_second_look():
    manifest = parse(document(result=None, targets=None, facts=fact(absent="HOLD")))
    told = "\n".join(warnings(manifest))
    assert "/result: undeclared" in told
    assert "/targets: undeclared" in told
    assert "/facts/order/absent" in told


def test_a_preview_is_of_a_worker_and_of_what_changes_something():
    review = {"preview": {"deadline_s": 2}}
    assert "only workers tell" in refusal({**sandboxed(), "review": review})
    read_only = {"read_only": True, "destructive": False, "open_world": False}
    assert "changes nothing" in refusal({**document(behaviour=read_only), "review": review})
    assert "/review/preview" in refusal({**document(), "review": {"preview": {"deadline_s": 11}}})


def test_no_tool_is_named_as_a_preview_is():
    assert refusal(document(name="refund.preview")).startswith("/name: choose another name")
    assert parse(document(name="preview")).name == "preview"
