"""A project of one's own, made and worked with by command: a real broker, OPA, worker and agent."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from broker.cli.main import main
from tests.fakes.policy_trees import opa

ROOT = Path(__file__).parents[2]
COMMAND_S = 90.0
END_S = 30.0


@dataclass(kw_only=True)
class Project:
    """A directory that `callbroker init` has made, and what runs in it."""

    directory: Path
    environment: dict[str, str]
    logs: dict[str, Path] = field(default_factory=dict)

    def callbroker(self, *arguments: str, code: int = 0) -> str:
        """Run a command to its end in this process, as if it were typed there; what it printed."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.directory),
            _environment(self.environment),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            ended = main(arguments)
        assert ended == code, f"{arguments}\n{out.getvalue()}\n{err.getvalue()}"
        assert "Traceback" not in err.getvalue()
        return out.getvalue() if code == 0 else out.getvalue() + err.getvalue()

    def told(self, *arguments: str) -> dict[str, object]:
        """What a command says as JSON."""
        told: dict[str, object] = json.loads(self.callbroker(*arguments, "--json"))
        return told

    def waiting(self) -> list[str]:
        """Short names of the holds that wait."""
        return re.findall(r"^h-[0-9a-f]{8}", self.callbroker("holds", "list"), re.MULTILINE)

    @contextlib.contextmanager
    def running(self, name: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """Something that goes on until the block ends; its output is in `logs[name]`."""
        self.logs[name] = self.directory / f"{name}.log"
        with self.logs[name].open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.directory,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def said(self, name: str) -> str:
        """What something has printed so far."""
        return self.logs[name].read_text(encoding="utf-8", errors="replace")

    def until(self, condition: Callable[[], object], *, deadline_s: float = COMMAND_S) -> None:
        """Return once it holds; fail with every log where it does not in time."""
        end = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > end:
                pytest.fail("\n".join(f"{name}:\n{self.said(name)}" for name in self.logs))
            time.sleep(0.1)


@contextlib.contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _made(directory: Path) -> Project:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CALLBROKER_")}
    project = Project(
        directory=directory,
        environment={**environment, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    )
    said = project.callbroker("init", "notes", "--port", str(port))
    assert "  callbroker serve --watch\n  python worker.py\n  python agent.py\n" in said
    project.directory = directory / "notes"
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A new project whose broker and worker run."""
    made = _made(tmp_path_factory.mktemp("cli"))
    with made.running("serve", "-m", "broker.command", "serve", "--watch"):
        made.until(lambda: "watch_policy" in made.said("serve"))
        with made.running("worker", "worker.py"):
            made.until(lambda: made.told("status")["workers"])
            yield made


def test_a_new_project_runs_and_its_held_call_is_carried_out_once_it_is_approved(
    project: Project,
) -> None:
    with project.running("agent", "agent.py") as agent:
        project.until(lambda: "HELD" in project.said("agent"))
        [name] = project.waiting()
        shown = project.callbroker("holds", "show", name)
        assert shown.startswith("Delete note n-1 for good")
        assert 'Words    "Please delete note n-1."' in shown
        assert "DELETE_NEEDS_PERSON" in shown
        line = next(line for line in shown.splitlines() if line.startswith("callbroker holds"))
        approve = line.split("  |  ")[0].split()[1:]
        typed = subprocess.run(
            [sys.executable, "-m", "broker.command", *approve],
            cwd=project.directory,
            env=project.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=True,
        )
        assert "CLAIMED" in typed.stdout
        assert agent.wait(END_S) == 0
    said = project.said("agent").splitlines()
    assert said[0] == 'SUCCEEDED  read_note: "The lamp arrived broken."'
    assert said[-1] == "SUCCEEDED  delete_note: true"


def test_a_rejected_call_tells_the_model_why(project: Project) -> None:
    with project.running("agent", "agent.py") as agent:
        project.until(lambda: "HELD" in project.said("agent"))
        [name] = project.waiting()
        project.callbroker("holds", "reject", name, "--etag", "1", "--reason", "Keep it.")
        assert agent.wait(END_S) == 0
    assert "Keep it. Do not ask for it again" in project.said("agent")
    told = project.callbroker("holds", "approve", name, "--etag", "1", code=1)
    assert told.startswith("callbroker: ")


def test_a_frozen_tool_is_refused_until_it_is_lifted(project: Project) -> None:
    frozen = project.callbroker("freeze", "tool", "delete_note", "--reason", "Looking into it.")
    lift = frozen.split("lifted by: callbroker ")[1].split()[:2]
    assert "delete_note" in project.callbroker("freezes")
    with project.running("agent", "agent.py") as agent:
        assert agent.wait(END_S) == 0
    assert "DENIED     delete_note" in project.said("agent")
    project.callbroker(*lift, "--reason", "A false alarm.")
    assert project.callbroker("freezes") == "Nothing is frozen.\n"


def test_the_story_of_a_call_is_told_and_the_log_is_checked_without_a_broker(
    project: Project, tmp_path: Path
) -> None:
    with project.running("agent", "agent.py") as agent:
        project.until(lambda: "HELD" in project.said("agent"))
        [name] = project.waiting()
        project.callbroker("holds", "reject", name, "--etag", "1", "--reason", "No.")
        assert agent.wait(END_S) == 0
    listed = project.callbroker("invocations", "list", "--state", "rejected", "--limit", "1")
    call = re.findall(r"^i-[0-9a-f]{8}", listed, re.MULTILINE)[0]
    story = project.callbroker("audit", "show", call)
    for told in ("call.decided", "hold.opened", "review.given", "DELETE_NEEDS_PERSON"):
        assert told in story
    exported = tmp_path / "log.jsonl"
    project.callbroker("audit", "export", "--contents", "--out", str(exported))
    verify = ("audit", "verify", str(exported), "--key", "state/audit.pub")
    heads = ("--checkpoint", "state/checkpoints/heads.jsonl")
    assert project.callbroker(*verify, *heads).startswith("GOOD")
    lines = exported.read_bytes().splitlines(keepends=True)
    changed = next(i for i, line in enumerate(lines) if b"review.given" in line)
    lines[changed] = lines[changed].replace(b'"actor":"', b'"actor":"not-')
    exported.write_bytes(b"".join(lines))
    entry = json.loads(lines[changed])["entry"]["id"]
    assert entry in project.callbroker(*verify, code=1)


def _codes(verdicts: Iterable[dict[str, str]]) -> list[tuple[str, str]]:
    return sorted((verdict["family"], verdict["code"]) for verdict in verdicts)


def test_a_past_call_is_asked_again_becomes_a_case_and_is_replayed(
    project: Project, tmp_path: Path
) -> None:
    with project.running("agent", "agent.py") as agent:
        project.until(lambda: "HELD" in project.said("agent"))
        [name] = project.waiting()
        project.callbroker("holds", "reject", name, "--etag", "1", "--reason", "Keep it.")
        assert agent.wait(END_S) == 0
    listed = project.callbroker("invocations", "list", "--tool", "delete_note", "--limit", "1")
    call = re.findall(r"^i-[0-9a-f]{8}", listed, re.MULTILINE)[0]
    question = json.loads(project.callbroker("policy", "input", call))
    assert question["call"]["arguments"] == {"note_id": "n-1"}
    entry = project.told("audit", "show", call)["entries_json"][-1]["invocation"]
    record: dict[str, Any] = project.told("policy", "input", call)
    assert (record["question_json"], record["invocation"]) == (question, entry)
    bundle = tmp_path / "bundle.tar.gz"
    project.callbroker("policy", "bundle", str(bundle), "policies")
    evaluated = subprocess.run(
        [opa(), "eval", "-b", bundle, "-I", "--format=raw", "data.broker.decision.decision"],
        input=project.callbroker("policy", "input", call),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=True,
    )
    answer = json.loads(evaluated.stdout)
    assert answer["revision"] == record["policy_revision"]
    assert _codes(answer["verdicts"]) == _codes(
        verdict for verdict in record["verdicts"] if verdict["stage"] == "policy"
    )
    case = project.callbroker("policy", "case", call, "--family", "notes")
    assert "call: {tool: delete_note, arguments: {note_id: n-1}}" in case
    assert "expect: {effect: HOLD, codes: [DELETE_NEEDS_PERSON]}" in case
    table = project.directory / "policies" / "broker" / "rules" / "notes" / "notes_cases.yaml"
    replayed = project.callbroker("policy", "replay")
    assert " 0 changed." in replayed
    candidate = tmp_path / "policies"
    shutil.copytree(table.parents[3], candidate)
    rules = candidate / "broker" / "rules" / "notes" / "notes.rego"
    rules.write_text(
        rules.read_text(encoding="utf-8")
        .replace('"HOLD"', '"DENY"')
        .replace('\t"hold": {"reviewers": ["reviewers"], "approvals_required": 1},\n', ""),
        encoding="utf-8",
    )
    exported = tmp_path / "log.jsonl"
    project.callbroker("audit", "export", "--contents", "--out", str(exported))
    for source in ((), ("--export", str(exported)), ("--since", "1h", "--tool", "delete_note")):
        replay = ("policy", "replay", str(candidate), *source)
        assert call in project.callbroker(*replay)
        changed = project.callbroker(*replay, "--fail-on", "hold-to-deny", code=1)
        assert "This must be empty: hold-to-deny " in changed


def test_a_saved_rule_is_in_force_at_once_and_a_broken_one_leaves_the_old_in_force(
    project: Project,
) -> None:
    rule = project.directory / "policies" / "broker" / "rules" / "notes" / "notes.rego"
    before = rule.read_text(encoding="utf-8")
    revision = project.told("status")["policy_revision"]
    rule.write_text("package broker.rules.notes\n\nverdicts contains {", encoding="utf-8")
    project.until(lambda: "watch_refused" in project.said("serve"))
    assert project.told("status")["policy_revision"] == revision
    rule.write_text(before.replace("A person decides", "Somebody decides"), encoding="utf-8")
    project.until(lambda: project.told("status")["policy_revision"] != revision)
    rule.write_text(before, encoding="utf-8")
    project.until(lambda: project.told("status")["policy_revision"] == revision)


def test_policy_goes_back_by_command(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "broker" / "rules" / "more" / "more.rego"
    other.parent.mkdir(parents=True)
    other.write_text(
        "# METADATA\n# title: More\n# schemas:\n#   - input: schema.input\n"
        "package broker.rules.more\n\n"
        'verdicts contains {"effect": "DENY", "code": "NO", "message": "No."} if {\n'
        '\tinput.call.tool == "none"\n}\n',
        encoding="utf-8",
    )
    revision = project.told("status")["policy_revision"]
    assert "drop" in project.callbroker("policy", "activate", str(tmp_path), code=1)
    project.callbroker("policy", "activate", str(tmp_path), "--drop", "notes")
    assert project.told("status")["policy_revision"] != revision
    project.callbroker("policy", "rollback", "--reason", "It was a test.")
    assert project.told("status")["policy_revision"] == revision


def test_access_says_what_users_may_do_through_the_agent_and_why(project: Project) -> None:
    show = ("access", "show", "--principal", "users/u-1", "--group", "users")
    assert "Through agents/assistant" in project.callbroker(*show)
    extra = ("groups/users", "notes:share")
    project.callbroker("access", "grant", *extra, "--expires", "1d", "--reason", "A trial.")
    assert "Granted, but no agent can use it" in project.callbroker(*show)
    project.callbroker("access", "revoke", *extra, "--reason", "It is over.")
    assert "notes:share" not in project.callbroker(*show)


def test_a_revoked_token_is_refused_at_once(project: Project) -> None:
    made = project.told("token", "create", "auditor", "auditor-1")
    looking = Project(
        directory=project.directory,
        environment={**project.environment, "CALLBROKER_OPERATOR_TOKEN": str(made["token"])},
    )
    looking.callbroker("status")
    assert "class auditor" in looking.callbroker("freeze", "all", "--reason", "x", code=4)
    credential = made["credential"]
    assert isinstance(credential, dict)
    project.callbroker("token", "revoke", credential["name"], "--reason", "Lost.")
    assert "revoked" in looking.callbroker("status", code=4)


def test_nothing_opens_the_database_beneath_a_running_broker(project: Project) -> None:
    for command in (
        ("migrate",),
        ("serve", "--port", "0"),
        ("token", "create", "operator", "second", "--first"),
    ):
        assert "Another broker has the database" in project.callbroker(*command, code=2)


def test_a_stopped_broker_is_told_so_and_gives_a_new_operator_token(tmp_path: Path) -> None:
    project = _made(tmp_path)
    assert "does not answer" in project.callbroker("status", code=3)
    (project.directory / "state" / "tokens" / "operator").unlink()
    assert "--first --save" in project.callbroker("status", code=2)
    project.callbroker("token", "create", "operator", "second", "--first", "--save")
    with project.running("serve", "-m", "broker.command", "serve") as serve:
        project.until(lambda: "broker_started" in project.said("serve"))
        assert "2" in str(project.told("status")["tools"])
        serve.send_signal(signal.SIGTERM)
        assert serve.wait(END_S) == 0
    assert "Traceback" not in project.said("serve")
    assert "choose a new directory" in project.callbroker("init", ".", code=2)
