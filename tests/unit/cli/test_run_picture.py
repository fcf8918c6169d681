"""What a run in a sandbox did is told whole, and what a tool wrote of it cannot act."""

import json

from broker.cli.run_picture import request_picture, run_line, run_picture
from broker.cli.story import full_story, story_picture
from tests.unit.cli.holds_for_tests import AROUND

RUN = {
    "node": "unix:/run/sandboxd.sock",
    "run": "r7",
    "profile": "egress",
    "profile_digest": "sha256:1",
    "image": "sha256:2",
    "warm": True,
    "took_ms": 12,
    "exit_code": 137,
    "ended_with": "",
    "requests_allowed": 1,
    "requests_refused": 2,
}
REQUEST = {
    "method": "GET",
    "host": "api.example.com",
    "port": 443,
    "path": "/v1/rates",
    "address": "203.0.113.7",
    "allowed": True,
    "code": "",
    "response_code": 200,
    "sent_bytes": 0,
    "received_bytes": 340,
    "credential": "rates",
}
REFUSED = {**REQUEST, "allowed": False, "code": "HOST_NOT_LISTED", "address": "", "credential": ""}


def entry(**body) -> bytes:
    said = {
        "kind": "call.ended",
        "actor": "broker",
        "at_us": 1_800_000_000_000_000,
        "body": {"state": "SUCCEEDED", "run": RUN, **body},
        "contents": {"requests": [REQUEST, REFUSED]},
    }
    return json.dumps(said).encode()


def test_one_line_says_under_what_how_long_and_how_often_outside():
    line = run_line(RUN).plain
    assert line == "in a sandbox: egress, 12 ms, 1 requests let out, 2 requests refused"
    assert run_line({"profile": "strict"}).plain == "in a sandbox: strict"


def test_a_picture_says_everything_that_the_entry_says():
    told = run_picture(RUN).plain
    assert told.startswith("profile egress  warm true  took_ms 12  exit_code 137")
    assert "node unix:/run/sandboxd.sock" in told
    assert "ended_with" not in told


def test_a_request_is_let_out_or_refused_with_its_reason():
    assert request_picture(REQUEST).plain == (
        "let out  GET api.example.com:443/v1/rates  at 203.0.113.7  answer 200"
        "  0 B out, 340 B in  with rates"
    )
    assert "refused" in request_picture(REFUSED).plain
    assert "HOST_NOT_LISTED" in request_picture(REFUSED).plain


def test_a_request_of_unknown_form_counts_as_let_out():
    assert request_picture({}).plain.startswith("let out")


def test_what_a_tool_asked_for_cannot_act_on_a_terminal():
    path = "/\x1b[2J\u202e\r14:00:00  call.ended  broker  SUCCEEDED"
    hostile = {**REQUEST, "path": path, "host": "evil\x07", "credential": "\x9b1m"}
    assert request_picture(hostile).plain.isprintable()
    assert run_picture({**RUN, "node": path}).plain.isprintable()


def test_stories_have_both():
    short = "\n".join(line.plain for line in story_picture([entry()], AROUND))
    assert "in a sandbox: egress, 12 ms" in short
    full = "\n".join(line.plain for line in full_story([entry()], AROUND))
    assert "let out  GET api.example.com:443/v1/rates" in full
    assert "refused  GET" in full
