"""FAILED is proved or it is UNKNOWN; what a node tells is bounded before it is written down."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from broker.core.canonical import canonical_bytes
from broker.core.profiles import OfferedProfile
from broker.ports import CarriedFile, Failed, Lost, Succeeded
from broker.sandbox_nodes.reading import (
    REQUESTS_MAX,
    Run,
    outcome_in,
    profiles_in,
    trail_in,
)
from sandboxes.v1 import sandboxes_pb2 as pb

ALLOWED = pb.EgressRequest(host="api.example.com", path="/v1/x", allowed=True)
REFUSED = pb.EgressRequest(host="evil.example.com", code="HOST_NOT_LISTED")


def run(*, isolated: bool = True) -> Run:
    profile = OfferedProfile(
        name="strict",
        digest="sha256:strict",
        available=True,
        tightens=frozenset({"strict"}),
        isolated=isolated,
    )
    return Run(
        node="unix:/node", name="r1", image=f"sha256:{'0f' * 32}", profile=profile, warm=True
    )


def outcome(ending: int, *, isolated: bool = True, **given):
    code = "" if ending == pb.ENDING_ANSWERED else "TOOL_TIMED_OUT"
    message = pb.Result(ending=ending, code=code, message="It took too long.", **given)
    return outcome_in(message, run(isolated=isolated))


def test_an_answer_is_a_success_with_its_files_unchecked():
    files = [pb.File(name="../x", content=b"1")]
    answered = outcome(pb.ENDING_ANSWERED, result_json=b"not json", files=files)
    assert isinstance(answered, Succeeded)
    assert answered.result_json == b"not json"
    assert answered.files == (CarriedFile(name="../x", content=b"1"),)


@pytest.mark.parametrize(
    "ending", [pb.ENDING_TOOL_FAILED, pb.ENDING_BROKEN, pb.ENDING_KILLED], ids=pb.Ending.Name
)
def test_however_an_isolated_run_ends_badly_nothing_took_effect(ending):
    failed = outcome(ending)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.message) == ("TOOL_TIMED_OUT", "It took too long.")


@pytest.mark.parametrize(
    "ending", [pb.ENDING_UNKNOWN, pb.ENDING_UNSPECIFIED, 7, -1], ids=lambda number: f"e{number}"
)
@pytest.mark.parametrize("isolated", [True, False])
def test_an_end_that_nobody_saw_is_lost(ending, isolated):
    assert isinstance(outcome(ending, isolated=isolated), Lost)


@pytest.mark.parametrize("ending", [pb.ENDING_BROKEN, pb.ENDING_KILLED], ids=pb.Ending.Name)
def test_a_bad_end_of_a_run_with_a_way_out_is_lost(ending):
    assert isinstance(outcome(ending, isolated=False), Lost)


def test_a_tools_own_failure_with_a_way_out_counts_only_where_nothing_was_let_through():
    ending = pb.ENDING_TOOL_FAILED
    assert isinstance(outcome(ending, isolated=False), Failed)
    assert isinstance(outcome(ending, isolated=False, requests=[REFUSED]), Failed)
    assert isinstance(outcome(ending, isolated=False, requests=[REFUSED, ALLOWED]), Lost)
    assert isinstance(outcome(ending, isolated=False, requests_cut=True), Lost)


def test_a_node_that_tells_of_requests_under_a_profile_without_a_way_out_proves_nothing():
    assert isinstance(outcome(pb.ENDING_KILLED, requests=[REFUSED]), Lost)
    assert isinstance(outcome(pb.ENDING_TOOL_FAILED, requests=[ALLOWED]), Lost)


def test_the_trail_says_where_it_ran_and_every_request():
    message = pb.Result(
        ending=pb.ENDING_KILLED,
        code="TOOL_OUT_OF_MEMORY",
        requests=[ALLOWED],
        exit_code=137,
        out_of_memory=True,
        took=Duration(seconds=1, nanos=500_000_000),
    )
    trail = trail_in(message, run())
    assert (trail["node"], trail["run"], trail["profile"]) == ("unix:/node", "r1", "strict")
    assert (trail["exit_code"], trail["out_of_memory"]) == (137, True)
    assert trail["took_ms"] == 1_500
    assert trail["requests"][0]["host"] == "api.example.com"
    assert trail["requests"][0]["allowed"] is True
    assert "exit_code" not in trail_in(pb.Result(), run())


def test_a_trail_is_bounded_and_can_be_written_down_whatever_the_node_sends():
    worst = pb.EgressRequest(
        at=Timestamp(seconds=2**62, nanos=2**31 - 1),
        host="h" * 100_000,
        path="\x00\u202e" * 1_000,
        sent_bytes=2**64 - 1,
        response_code=2**32 - 1,
    )
    message = pb.Result(
        requests=[worst] * (REQUESTS_MAX + 1),
        took=Duration(seconds=-(2**62)),
        code="C" * 10_000,
    )
    trail = trail_in(message, run())
    assert len(canonical_bytes(trail)) < 3_000_000
    assert trail["requests_cut"] is True
    assert trail["took_ms"] == 0


def test_a_profile_without_a_name_or_digest_is_none_and_each_is_as_tight_as_itself():
    message = pb.ListProfilesResponse(
        profiles=[
            pb.Profile(name="", digest="sha256:1"),
            pb.Profile(name="x", digest=""),
            pb.Profile(name="strict", digest="sha256:2", available=True),
        ]
    )
    (only,) = profiles_in(message)
    assert (only.name, only.tightens) == ("strict", frozenset({"strict"}))
