"""What a newcomer gets wrong in their first hour is answered in a line that says what to do."""

from pathlib import Path

import pytest

from broker.cli.failures import ExitCode
from broker.v1 import admin_pb2
from tests.fakes.admin_server import FakeServices
from tests.unit.cli.conftest import Run


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('stat = "x"', "stat: there is no such setting; did you mean state? `callbroker config"),
        ('zone = "x"', "zone: there is no such setting; `callbroker config show` lists them"),
        ('listen = "127.0.0.1"', "listen = '127.0.0.1' is not an address such as 127.0.0.1:7400"),
        ('listen = "0.0.0.0:7400"', "is reachable from elsewhere and needs tls_certificate_file"),
        ('log_level = "loud"', "log_level: Input should be 'debug', 'info'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_with_its_mend(
    run: Run, here: Path, settings: str, told: str
) -> None:
    (here / "callbroker.toml").write_text(settings)
    ran = run("status")
    assert ran.code == ExitCode.USAGE
    assert told in ran.err
    assert "Value error" not in ran.err


def test_serving_where_no_project_is_leaves_nothing_behind(run: Run, here: Path) -> None:
    ran = run("serve")
    assert ran.code == ExitCode.USAGE
    assert ran.err.startswith("callbroker: There is no database ")
    assert "callbroker init" in ran.err
    assert list(here.iterdir()) == []


def test_whoever_is_in_the_wrong_directory_is_told_so(run: Run, here: Path) -> None:
    elsewhere = "there is no callbroker.toml here either"
    assert elsewhere in run("holds", "list").err
    (here / "callbroker.toml").touch()
    assert elsewhere not in run("holds", "list").err


def test_every_finding_about_a_policy_has_a_line_and_the_check_fails(run: Run, here: Path) -> None:
    rules = here / "policies" / "rules"
    rules.mkdir(parents=True)
    for name in ("one.rego", "two.rego"):
        (rules / name).write_text("package rules\n")
    ran = run("policy", "check", "policies")
    assert ran.code == ExitCode.NO
    first, *findings = ran.err.splitlines()
    assert first == "callbroker: This policy is refused:"
    assert [line.split(":")[0] for line in findings] == ["  rules/one.rego", "  rules/two.rego"]
    assert "there are broker/rules/FAMILY/" in findings[0]


@pytest.mark.parametrize("kind", ["agent", "reviewer", "operator"])
def test_a_credential_without_its_person_names_the_option(
    run: Run, services: FakeServices, kind: str
) -> None:
    subject = "agents/lead" if kind == "agent" else "lead"
    ran = run("token", "create", kind, subject)
    assert ran.code == ExitCode.USAGE
    assert "--person lead" in ran.err
    assert services.asked == []


def test_the_command_that_checks_an_export_names_the_key_where_it_is(
    run: Run, here: Path, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = admin_pb2.ExportAuditResponse(lines=b"{}\n")
    services.answers["ExportAudit"] = lambda _: iter([exported])
    (here / "state").mkdir()
    (here / "state" / "audit.pub").touch()
    assert run("audit", "export", "--out", "a").out.endswith("--key state/audit.pub\n")
    below = here / "below"
    below.mkdir()
    (here / "callbroker.toml").touch()
    monkeypatch.setenv("CALLBROKER_CONFIG", str(here / "callbroker.toml"))
    monkeypatch.chdir(below)
    told = run("audit", "export", "--out", "a").out
    assert told.endswith(f"--key {here / 'state' / 'audit.pub'}\n")


def test_what_is_no_key_and_what_is_not_there_are_told_by_name(run: Run, here: Path) -> None:
    (here / "a.jsonl").write_text("{}\n")
    ran = run("audit", "verify", "a.jsonl", "--key", "a.jsonl")
    assert ran.err.startswith("callbroker: a.jsonl is not a log's public key: ")
    ran = run("audit", "verify", "a.jsonl", "--key", "b")
    assert ran.err == "callbroker: b: No such file or directory.\n"


def test_what_a_user_may_do_through_groups_is_one_option_away(
    run: Run, services: FakeServices
) -> None:
    services.answers["ShowAccess"] = admin_pb2.ShowAccessResponse()
    assert "--group GROUP" in run("access", "show", "--principal", "users/u-1").out
    ran = run("access", "show", "--principal", "users/u-1", "--group", "users")
    assert "--group GROUP" not in ran.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("freeze",), "'KIND'. Choose from: tool, agent, principal, session, all. See: "),
        (("token", "create"), "Choose from: host, agent, worker, reviewer, operator, auditor. See"),
        (("retention", "legal-hold"), "Choose from: principal, session, invocation. See"),
        (("invocations", "list", "--state", "foo"), "value for '--state': 'foo' is not one of"),
    ],
)  # fmt: skip
def test_a_choice_that_is_none_is_told_in_one_plain_line(
    run: Run, arguments: tuple[str, ...], told: str
) -> None:
    ran = run(*arguments)
    assert ran.code == ExitCode.USAGE
    assert told in ran.err
    assert ran.err.count("\n") == 1
    assert "\\t" not in ran.err


@pytest.mark.parametrize(
    ("kind", "person", "option"),
    [("worker", (), "--tool NAME"), ("reviewer", ("--person", "lead"), "--group NAME")],
)
def test_a_credential_that_is_for_something_names_the_option(
    run: Run, services: FakeServices, kind: str, person: tuple[str, ...], option: str
) -> None:
    ran = run("token", "create", kind, "w1", *person)
    assert ran.code == ExitCode.USAGE
    assert option in ran.err
    assert services.asked == []


def test_a_beginning_may_be_a_length_of_time_ago_wherever_one_is_asked_for(
    run: Run, services: FakeServices
) -> None:
    services.answers["ExportAudit"] = lambda _: iter([admin_pb2.ExportAuditResponse(lines=b"{}\n")])
    for command in (("audit", "export"), ("policy", "replay", "policies")):
        ran = run(*command, "--since", "7x")
        assert ran.code == ExitCode.USAGE
        assert "and no length of time ago such as 7d." in ran.err
    assert run("audit", "export", "--since", "7d").code == ExitCode.OK
    assert services.request("ExportAudit").start_time.seconds > 0
