"""A past call is asked again, turned into a case and replayed; nothing of a broker changes."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from broker.cli import environment
from broker.cli.failures import ExitCode
from broker.core.decision import Effect, HoldTerms, Verdict
from broker.tools.registry import read_manifests
from broker.v1 import admin_pb2, types_pb2
from tests.exported_decisions import NOW, decided, name_of, refund, write_export
from tests.fakes.admin_server import FakeServices
from tests.fakes.policy_trees import opa
from tests.policies.trees import TREES
from tests.unit.cli.conftest import Run

DESK = str(TREES["support_desk"])
TERMS = HoldTerms(
    reviewers=("support-leads",), decide_within_s=14_400, run_within_s=3_600, approvals_required=1
)
EFFECTS = {
    Effect.DENY: types_pb2.EFFECT_DENY,
    Effect.HOLD: types_pb2.EFFECT_HOLD,
    Effect.ALLOW: types_pb2.EFFECT_ALLOW,
}


@pytest.fixture(autouse=True)
def _found_opa(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a command is run, it finds the OPA that tests use, and the desk's manifests."""
    monkeypatch.setenv("CALLBROKER_OPA", str(opa()))
    monkeypatch.setenv("CALLBROKER_TOOLS", str(TREES["support_desk"].parent / "tools"))


def said(effect: Effect, code: str, **given) -> Verdict:
    wanted = {
        "effect": effect,
        "stage": "policy",
        "family": "refunds",
        "code": code,
        "message": "So.",
        "terms": TERMS if effect is Effect.HOLD else None,
    }
    return Verdict(**{**wanted, **given})


EXPECTED = "{effect: HOLD, codes: [REFUND_NEEDS_PERSON], hold: {reviewers: [support-leads]}}"
COVERED = said(Effect.ALLOW, "REFUND_COVERED")
UNCOVERED = said(Effect.DENY, "REFUND_NOT_COVERED")
NEEDS_PERSON = said(Effect.HOLD, "REFUND_NEEDS_PERSON")


def told(number: int, verdicts: Iterable[Verdict], **given) -> admin_pb2.RecordedDecision:
    """What a broker says of a decision."""
    entry, contents = decided(number, verdicts, **given)
    question = contents.get("question")
    return admin_pb2.RecordedDecision(
        invocation=entry["invocation"],
        entry=entry["id"],
        decide_time=Timestamp(seconds=int(NOW) + number),
        tool=entry["body"]["tool"],
        effect=types_pb2.Effect.Value(f"EFFECT_{entry['body']['effect']}"),
        verdicts=[
            admin_pb2.RecordedVerdict(
                effect=EFFECTS[v.effect],
                stage=v.stage,
                family=v.family,
                code=v.code,
                message=v.message,
                enforced=v.enforced,
                terms=None if v.terms is None else _terms(v.terms),
            )
            for v in verdicts
        ],
        summary=contents["summary"],
        question_json=b"" if question is None else json.dumps(question).encode(),
    )


def _terms(terms: HoldTerms) -> admin_pb2.RecordedTerms:
    return admin_pb2.RecordedTerms(
        reviewers=terms.reviewers,
        approvals_required=terms.approvals_required,
        decide_within=Duration(seconds=terms.decide_within_s),
        run_within=Duration(seconds=terms.run_within_s),
    )


def one(services: FakeServices, decision: admin_pb2.RecordedDecision) -> str:
    """Have the broker tell of this decision; the call's name."""
    services.answers["GetRecordedDecision"] = admin_pb2.GetRecordedDecisionResponse(
        decision=decision
    )
    return decision.invocation


def test_the_question_is_printed_as_it_was_asked(run: Run, services: FakeServices) -> None:
    question = refund(5_500) | {"provenance": {"/reason": "\x1b[31m\u202e\N{SNOWMAN}", "/n": 1.5}}
    ran = run("policy", "input", one(services, told(1, [NEEDS_PERSON], question=question)))
    assert ran.code == ExitCode.OK
    assert json.loads(ran.out) == question
    assert ran.out.isascii()
    assert "\x1b" not in ran.out
    assert services.request("GetRecordedDecision").name == name_of(1)


def test_the_whole_record_is_there_as_json(run: Run, services: FakeServices) -> None:
    name = one(services, told(1, [NEEDS_PERSON], question=refund(5_500)))
    record = json.loads(run("policy", "input", name, "--json").out)
    assert record["question_json"] == refund(5_500)
    assert (record["effect"], record["verdicts"][0]["code"]) == ("HOLD", "REFUND_NEEDS_PERSON")


def test_where_policy_was_not_asked_the_command_says_who_decided(
    run: Run, services: FakeServices
) -> None:
    frozen = said(Effect.DENY, "FROZEN", stage="screen", family="")
    ran = run("policy", "input", one(services, told(1, [frozen], question=None)))
    assert (ran.code, ran.out) == (ExitCode.NO, "")
    assert "Policy was not asked: FROZEN had decided before." in ran.err


def test_what_is_erased_is_said_to_be(run: Run, services: FakeServices) -> None:
    gone = told(1, [NEEDS_PERSON], question=None)
    gone.erased = True
    for command in ("input", "case"):
        ran = run("policy", command, one(services, gone))
        assert (ran.code, ran.out) == (ExitCode.NO, "")
        assert "erased" in ran.err


def test_a_call_becomes_a_case(run: Run, services: FakeServices) -> None:
    name = one(services, told(1, [COVERED, NEEDS_PERSON], question=refund(5_500)))
    ran = run("policy", "case", name, DESK)
    assert (ran.code, ran.err) == (ExitCode.OK, "")
    assert ran.out.splitlines() == [
        "  # in refunds_cases.yaml, below cases:",
        '  - case: "Call 1 of refund (i-00000001)"',
        "    given: {call: {arguments: {amount_minor: 5500}}}",
        f"    expect: {EXPECTED}",
    ]


def test_a_case_that_fails_here_is_given_with_exit_code_1(run: Run, services: FakeServices) -> None:
    name = one(services, told(1, [COVERED], question=refund(9_000)))
    ran = run("policy", "case", name, DESK, "--json")
    assert ran.code == ExitCode.NO
    assert "The rules here say something else: DENY REFUND_NOT_COVERED" in ran.err
    made = json.loads(ran.out)
    assert made["case"]["expect"] == {"effect": "ALLOW", "codes": ["REFUND_COVERED"]}
    assert (made["holds"], made["found"]["effect"]) == (False, "DENY")


def test_which_family_is_meant_is_asked_where_it_is_not_plain(
    run: Run, services: FakeServices
) -> None:
    other = said(Effect.HOLD, "MAIL_LARGE", family="mail")
    two = one(services, told(1, [NEEDS_PERSON, other], question=refund(5_500)))
    ran = run("policy", "case", two, DESK)
    assert ran.code == ExitCode.USAGE
    assert "--family" in ran.err
    assert "mail" in ran.err
    silence = said(Effect.HOLD, "SILENCE", family="")
    ran = run("policy", "case", one(services, told(1, [silence], question=refund(5_500))), DESK)
    assert (ran.code, "No family spoke" in ran.err) == (ExitCode.USAGE, True)


def test_a_null_that_a_patch_cannot_say_is_told(run: Run, services: FakeServices) -> None:
    question = refund(5_500)
    question["call"]["arguments"]["reason"] = None
    name = one(services, told(1, [NEEDS_PERSON], question=question))
    ran = run("policy", "case", name, DESK, "--family", "refunds")
    assert "# /call/arguments/reason was null, which a patch cannot say" in ran.out


def pages(*decisions: admin_pb2.RecordedDecision):
    """A broker that lists these, two a page."""

    def answer(request: admin_pb2.ListRecordedDecisionsRequest):
        first = int(request.page_token or 0)
        following = str(first + 2) if first + 2 < len(decisions) else ""
        return admin_pb2.ListRecordedDecisionsResponse(
            decisions=decisions[first : first + 2], next_page_token=following
        )

    return answer


def replayed(run: Run, *arguments: str, code: int = ExitCode.OK) -> dict[str, object]:
    ran = run("policy", "replay", DESK, *arguments, "--json")
    assert ran.code == code, ran.err
    found: dict[str, object] = json.loads(ran.out)
    return found


def test_a_policy_that_changes_nothing_passes(run: Run, services: FakeServices) -> None:
    services.answers["ListRecordedDecisions"] = pages(
        told(3, [COVERED], question=refund(4_000)),
        told(2, [COVERED, NEEDS_PERSON], question=refund(5_500)),
        told(1, [UNCOVERED, NEEDS_PERSON], question=refund(9_000)),
    )
    found = replayed(run, "--tool", "refund", "--since", "2026-11-01")
    assert (found["decisions"], found["asked"]) == (3, 3)
    assert found["changes"] == {}
    asked = services.request("ListRecordedDecisions")
    assert (asked.tool, asked.start_time.ToJsonString()) == ("refund", "2026-11-01T00:00:00Z")


def test_rules_are_typed_by_the_tools_in_force_where_no_others_are_named(
    run: Run, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLBROKER_TOOLS")
    services.answers["ListRecordedDecisions"] = pages(told(3, [COVERED], question=refund(4_000)))
    services.answers["ListManifests"] = admin_pb2.ListManifestsResponse(
        manifests=[
            admin_pb2.Manifest(name=name, document_json=json.dumps(document).encode())
            for name, document in read_manifests(TREES["support_desk"].parent / "tools")
        ]
    )
    assert replayed(run)["asked"] == 1


def test_what_would_run_from_now_on_fails(run: Run, services: FakeServices) -> None:
    services.answers["ListRecordedDecisions"] = pages(
        told(2, [UNCOVERED], question=refund(4_000)),
        told(1, [NEEDS_PERSON], question=refund(4_000)),
    )
    found = replayed(run, code=ExitCode.NO)
    assert found["failed"] == ["deny-to-allow", "hold-to-allow"]
    assert replayed(run, "--fail-on", "")["failed"] == []
    assert replayed(run, "--fail-on", "allow-to-deny")["failed"] == []
    ran = run("policy", "replay", DESK)
    assert ran.code == ExitCode.NO
    assert "2 of 2 decisions taken again under policy " in ran.out
    assert "deny-to-allow  1  was denied and would run" in ran.out
    assert "i-00000002  refund  Call 2 of refund" in ran.out
    assert ran.out.index("deny-to-allow") < ran.out.index("hold-to-allow")
    assert "This must be empty: deny-to-allow 1, hold-to-allow 1." in ran.err


def test_an_export_is_replayed_without_a_broker(run: Run, tmp_path: Path) -> None:
    file = write_export(
        tmp_path / "log.jsonl",
        [
            decided(1, [COVERED], question=refund(4_000)),
            decided(2, [COVERED], question=refund(9_000)),
            decided(3, [said(Effect.DENY, "FROZEN", stage="screen", family="")], question=None),
            (decided(4, [COVERED], question=refund(4_000))[0], None),
            # What a tool's answer says is no decision, however much it looks like one.
            ({**decided(5, [], question=None)[0], "kind": "call.ended"}, {"kind": "call.decided"}),
        ],
    )
    found = replayed(run, "--export", str(file))
    assert (found["decisions"], found["spared"], found["erased"]) == (4, 1, 1)
    assert list(found["changes"]) == ["allow-to-deny"]
    ran = run("policy", "replay", DESK, "--export", str(file))
    assert "1 had been refused before policy was asked, and stay refused." in ran.out
    assert replayed(run, "--export", str(file), "--since", "2027-01-15T08:00:02")["decisions"] == 3
    none = run("policy", "replay", DESK, "--export", str(file), "--tool", "other")
    assert none.code == ExitCode.NO
    assert "Nothing was taken again" in none.err


def test_a_length_of_time_is_counted_from_now(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "now", lambda: NOW + 60)
    decisions = [decided(n, [COVERED], question=refund(4_000)) for n in (0, 30, 59)]
    file = write_export(tmp_path / "log.jsonl", decisions)
    assert replayed(run, "--export", str(file), "--since", "30s")["decisions"] == 2


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no export of the log"),
        (b'{"header":{"contents":false}}\n', "taken without contents"),
        (b"not json\n", "no export of the log"),
        (b'{"header":{"contents":true}}\n{"kind":"call.decided"\n', "line 2"),
        (b'{"header":{"contents":true}}\n{"entry":{"kind":"call.decided"}}\n', "line 2"),
    ],
)
def test_a_file_that_is_no_export_with_contents_is_refused(
    run: Run, tmp_path: Path, content: bytes, why: str
) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(content)
    ran = run("policy", "replay", DESK, "--export", str(file))
    assert ran.code == ExitCode.USAGE
    assert why in ran.err


def test_a_class_that_there_is_not_is_refused(run: Run) -> None:
    ran = run("policy", "replay", DESK, "--fail-on", "deny-to-alow")
    assert ran.code == ExitCode.USAGE
    assert "deny-to-alow" in ran.err
    assert "deny-to-allow" in ran.err
