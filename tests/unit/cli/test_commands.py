import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
import typer
from typer.main import get_command

from broker.cli.failures import ExitCode
from broker.cli.main import COMMANDS, app
from broker.cli.reference import reference, walk
from broker.v1 import admin_pb2, review_pb2
from tests.fakes.admin_server import FakeServices, Refusal
from tests.unit.cli.conftest import Run
from tests.unit.cli.holds_for_tests import HOLD_NAME

REFERENCE = Path(__file__).parents[3] / "docs" / "cli.md"


def _all_commands() -> list[tuple[str, str, bool]]:
    """Names, help, and whether it is one alone."""
    root = get_command(app)
    context = typer.Context(root, info_name="callbroker")
    found = []
    for names, command, above in walk(root, context):
        below = typer.Context(command, info_name=names[-1], parent=above)
        found.append((" ".join(names), below.get_help(), not hasattr(command, "commands")))
    return found


def test_the_reference_is_what_help_says() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), (
        "run: python -m broker.cli.reference > docs/cli.md"
    )


def test_every_command_shows_how_it_is_typed() -> None:
    for name, said, is_alone in _all_commands():
        if is_alone:
            assert "Example" in said, name
            assert f"callbroker {name}" in said, name


def test_every_command_that_ends_can_speak_json() -> None:
    without = [name for name, said, alone in _all_commands() if alone and "--json" not in said]
    assert without == ["serve", "sandboxd"]


def test_help_needs_none_of_the_servers_heavy_parts() -> None:
    script = (
        "import sys; from broker.cli.main import main; main(['--help']);"
        "print([m for m in ('grpc', 'pydantic', 'sqlalchemy', 'rich') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert out.stdout.splitlines()[-1] == "[]"


def test_a_group_alone_answers_with_its_help(run: Run) -> None:
    ran = run("holds")
    assert ran.code == ExitCode.USAGE
    assert "approve" in ran.err


def test_a_misspelt_command_is_told_what_was_meant(run: Run) -> None:
    ran = run("hold", "list")
    assert ran.code == ExitCode.USAGE
    assert "Did you mean 'holds'" in ran.err


def test_a_missing_option_is_one_line_that_names_the_help(run: Run) -> None:
    ran = run("holds", "approve", "h-3fa9c2d1")
    assert ran.code == ExitCode.USAGE
    assert ran.err == (
        "callbroker: Missing option '--etag'. See: callbroker holds approve --help\n"
    )


def test_no_token_says_which_variable_which_file_and_which_command(run: Run) -> None:
    ran = run("holds", "list")
    assert ran.code == ExitCode.USAGE
    assert "CALLBROKER_REVIEWER_TOKEN" in ran.err
    assert "state/tokens/reviewer" in ran.err
    assert "callbroker token create reviewer" in ran.err


def test_a_token_file_that_others_can_read_is_refused(run: Run, here: Path) -> None:
    token = here / "state" / "tokens" / "reviewer"
    token.parent.mkdir(parents=True)
    token.write_text("cb_reviewer_x")
    token.chmod(0o644)
    ran = run("holds", "list")
    assert ran.code == ExitCode.USAGE
    assert f"chmod go= {token}" in ran.err


def test_a_token_is_read_from_the_state_directory(
    run: Run, here: Path, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLBROKER_REVIEWER_TOKEN")
    token = here / "state" / "tokens" / "reviewer"
    token.parent.mkdir(parents=True)
    token.touch(mode=0o600)
    token.write_text("cb_reviewer_kept\n")
    services.answers["ListHolds"] = review_pb2.ListHoldsResponse()
    assert run("holds", "list").out == "Nothing waits for a person.\n"
    assert services.asked[-1][2] == "Bearer cb_reviewer_kept"


def test_a_broker_that_does_not_answer_is_exit_code_3(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBROKER_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("CALLBROKER_OPERATOR_TOKEN", "cb_operator_x")
    ran = run("status")
    assert ran.code == ExitCode.UNREACHABLE
    assert ran.err.startswith("callbroker: The broker at 127.0.0.1:1 does not answer.")


def test_what_only_reads_is_asked_again_where_the_line_broke(
    run: Run, services: FakeServices
) -> None:
    line_broke = Refusal(code=grpc.StatusCode.UNAVAILABLE, message="Socket closed", reason="")
    answers = [line_broke, line_broke, review_pb2.ListHoldsResponse()]
    services.answers["ListHolds"] = lambda _: answers.pop(0)
    assert run("holds", "list").out == "Nothing waits for a person.\n"
    assert not answers


def test_what_changes_something_is_never_asked_again_by_itself(
    run: Run, services: FakeServices
) -> None:
    """Have a change happen twice, by losing the answer to the first."""
    line_broke = Refusal(code=grpc.StatusCode.UNAVAILABLE, message="Socket closed", reason="")
    services.answers["CreateFreeze"] = line_broke
    assert run("freeze", "all", "--reason", "look").code == ExitCode.UNREACHABLE
    assert len(services.asked) == 1


def test_tokens_do_not_leave_this_machine_in_the_clear(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBROKER_ADDRESS", "broker.example:7400")
    monkeypatch.setenv("CALLBROKER_OPERATOR_TOKEN", "cb_operator_x")
    ran = run("status")
    assert ran.code == ExitCode.USAGE
    assert "CALLBROKER_CA_FILE" in ran.err


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.NOT_FOUND, ExitCode.NO),
        (grpc.StatusCode.ABORTED, ExitCode.NO),
        (grpc.StatusCode.FAILED_PRECONDITION, ExitCode.NO),
        (grpc.StatusCode.INVALID_ARGUMENT, ExitCode.NO),
        (grpc.StatusCode.INTERNAL, ExitCode.NO),
        (grpc.StatusCode.UNAVAILABLE, ExitCode.UNREACHABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ExitCode.UNREACHABLE),
        (grpc.StatusCode.PERMISSION_DENIED, ExitCode.NOT_PERMITTED),
        (grpc.StatusCode.UNAUTHENTICATED, ExitCode.NOT_PERMITTED),
    ],
)
def test_what_the_broker_says_has_its_exit_code(
    run: Run, services: FakeServices, status: grpc.StatusCode, code: ExitCode
) -> None:
    services.answers["GetHold"] = Refusal(code=status, message="No\x1b[2J because.")
    ran = run("holds", "show", HOLD_NAME)
    assert ran.code == code
    assert ran.out == ""
    assert "\x1b" not in ran.err
    assert ran.err.count("\n") == 1


def test_findings_are_a_line_each(run: Run, services: FakeServices, here: Path) -> None:
    (here / "policies").mkdir()
    services.answers["ActivatePolicy"] = Refusal(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        message="This policy is refused:\na.rego:1: one\na.rego:2: two",
    )
    services.answers["GetStatus"] = admin_pb2.GetStatusResponse(policy_revision="sha256:0")
    ran = run("policy", "activate", "policies")
    assert ran.code == ExitCode.NO
    assert ran.err == ("callbroker: This policy is refused:\n  a.rego:1: one\n  a.rego:2: two\n")


def test_an_environment_that_cannot_be_used_is_told_setting_by_setting(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBROKER_LISTEN", "0.0.0.0:7400")
    ran = run("config", "show")
    assert ran.code == ExitCode.USAGE
    assert "needs tls_certificate_file" in ran.err


def test_a_defect_is_one_sentence_and_no_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, "version", ("no_such_module", "For this test."))
    ran = run("version")
    assert ran.code == ExitCode.NO
    assert "defect" in ran.err
    assert "Traceback" not in ran.err


def test_whoever_stops_reading_hears_no_complaint(here: Path) -> None:
    script = "from broker.cli.main import main; import sys; sys.exit(main(['config', 'show']))"
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        ended = subprocess.run(
            [sys.executable, "-c", script],
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(REFERENCE.parents[1])},
        )
    assert ended.stderr == b""


def test_a_broker_that_speaks_tls_is_not_spoken_to_in_the_clear(run: Run, here: Path) -> None:
    for name in ("certificate", "key"):
        (here / name).touch()
    (here / "callbroker.toml").write_text(
        'tls_certificate_file = "certificate"\ntls_key_file = "key"\n'
    )
    ran = run("status")
    assert ran.code == ExitCode.USAGE
    assert "set CALLBROKER_CA_FILE" in ran.err


@pytest.mark.parametrize("url", ["postgresql://db/x", "sqlite://", "nonsense"])
def test_a_database_that_this_release_does_not_know_is_told_so(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("CALLBROKER_DATABASE", url)
    ran = run("migrate")
    assert ran.code == ExitCode.USAGE
    assert "defect" not in ran.err
