"""Twelve plain functions, no Rego, to a first held call in twenty lines: the page, as it is."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from broker.policy import opa_binary

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "first-tool.md"
LINES_MAX = 20
START_S = 120.0

_BLOCK = re.compile(
    r"^```(?P<kind>\w+)(?: file=(?P<file>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def blocks(kind: str) -> list[tuple[str, str]]:
    """File names and texts of the page's blocks of a kind, in order."""
    found = _BLOCK.finditer(PAGE.read_text(encoding="utf-8"))
    return [(b["file"] or "", b["text"]) for b in found if b["kind"] == kind]


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_there_are_twelve_functions_that_know_nothing_of_the_broker():
    (functions,) = [text for file, text in blocks("python") if file == "club.py"]
    assert len(re.findall(r"^def ", functions, re.MULTILINE)) == 12
    assert "broker" not in functions


def test_the_newcomer_writes_twenty_lines_and_no_rule():
    written = [text for file, text in blocks("python") if file != "club.py"]
    typed = [text for _, text in blocks("sh")]
    assert sum(len(lines(text)) for text in written + typed) <= LINES_MAX
    assert blocks("rego") == []


def test_the_page_leads_to_a_held_call(tmp_path):
    for file, text in blocks("python"):
        (tmp_path / file).write_text(text, encoding="utf-8")
    (_, project), (_, grants), (_, agent) = blocks("sh")
    environment = _environment()
    with contextlib.ExitStack() as terminals:
        *before, serve = lines(project)
        for command in before:
            _run(command, tmp_path, environment)
        terminals.enter_context(_running(serve, tmp_path, environment))
        _until(lambda: _tools(tmp_path, environment) >= 12, "the tools are not in force", tmp_path)
        *before, work = lines(grants)
        for command in before:
            _run(command, tmp_path, environment)
        terminals.enter_context(_running(work, tmp_path, environment))
        _until(lambda: _workers(tmp_path, environment) == 1, "there is no worker", tmp_path)
        (ask,) = lines(agent)
        said = _run(ask, tmp_path, environment)
        (promised,) = [text for _, text in blocks("text")]
        assert said == promised
        held = _run("callbroker holds list", tmp_path, environment)
        assert "DESTRUCTIVE_WITHOUT_FACT" in held
        assert held.count("users/u-1") == 1


def _environment() -> Mapping[str, str]:
    """A shell whose `callbroker` and `python` are this environment's, on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    opa = opa_binary.find(None)
    assert opa is not None
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CALLBROKER_")}
    return {
        **clean,
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
        "CALLBROKER_LISTEN": address,
        "CALLBROKER_WEB__LISTEN": "127.0.0.1:0",
        "CALLBROKER_ADDRESS": address,
        "CALLBROKER_OPA": str(opa),
    }


def _run(command: str, directory: Path, environment: Mapping[str, str]) -> str:
    done = _ended(command, directory, environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def _running(command: str, directory: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """A terminal in which a command stays; Ctrl-C ends it."""
    with (directory / "terminal.log").open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=directory,
            env=dict(environment),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
        if process.poll() is not None:
            pytest.fail((directory / "terminal.log").read_text(encoding="utf-8"))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)


def _tools(directory: Path, environment: Mapping[str, str]) -> int:
    return _asked("callbroker tools list --json", directory, environment).count('"revision"')


def _workers(directory: Path, environment: Mapping[str, str]) -> int:
    return _asked("callbroker status --json", directory, environment).count('"slots"')


def _asked(command: str, directory: Path, environment: Mapping[str, str]) -> str:
    """What it prints, also where the broker is not there yet."""
    return _ended(command, directory, environment).stdout


def _ended(
    command: str, directory: Path, environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=directory,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def _until(holds, otherwise: str, directory: Path) -> None:
    end = time.monotonic() + START_S
    while not holds():
        log = directory / "terminal.log"
        assert time.monotonic() < end, f"{otherwise}\n{log.read_text(encoding='utf-8')}"
        time.sleep(0.2)
