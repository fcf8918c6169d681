import json

import pytest

from broker.cli.json_output import plain, print_json
from broker.v1.admin_pb2 import CreateFreezeRequest, Grant, ShowInvocationResponse
from broker.v1.types_pb2 import Scope
from tests.unit.cli.holds_for_tests import the_hold


def test_a_hold_keeps_its_fields_and_gives_json_as_json() -> None:
    told = plain(the_hold(arguments_json=b'{"amount_minor":5500}'))
    assert told["state"] == "PENDING"
    assert told["invocation_state"] == "HELD"
    assert told["decide_by_time"] == "2026-11-20T17:20:00Z"
    assert told["run_by_time"] is None
    assert told["arguments"][1]["value_json"] == 5500
    assert told["arguments_json"] == {"amount_minor": 5500}
    assert told["arguments"][1]["rendered"] == "EUR 55.00"
    assert told["earlier"][0]["effect"] == "ALLOW"
    assert json.loads(json.dumps(told)) == told


def test_repeated_and_mapped_json_is_given_as_json_too() -> None:
    assert plain(ShowInvocationResponse(entries_json=[b'{"a":1}']))["entries_json"] == [{"a": 1}]
    grant = Grant(scope=Scope(name="s", where_json={"/currency": '["EUR"]'}))
    assert plain(grant)["scope"]["where_json"] == {"/currency": ["EUR"]}


def test_an_enum_member_that_is_unknown_here_is_its_number() -> None:
    request = CreateFreezeRequest()
    request.kind = 77  # type: ignore[assignment]
    assert plain(request)["kind"] == "77"


def test_what_is_printed_is_ascii_whatever_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"words": "\x1b[2J\u202e\u2028\U000e0041ä"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out) == {"words": "\x1b[2J\u202e\u2028\U000e0041ä"}
