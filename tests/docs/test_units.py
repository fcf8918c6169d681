"""What operators copy is what the broker takes: commands that there are, settings that it knows."""

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from broker.cli.main import app
from broker.config import CONFIG_NAME, Settings, load
from tests.docs.pages import ROOT

FOLDER = ROOT / "examples" / "operate"
UNIT = FOLDER / "callbroker.service"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
PROGRAM = "/opt/callbroker/bin/callbroker"


class _Repeated(dict[str, object]):
    """Keeps each of several lines of one name, as systemd does."""

    def __setitem__(self, key: str, value: object) -> None:
        if isinstance(value, list) and isinstance(self.get(key), list):
            value = [*self[key], *value]  # type: ignore[misc]
        super().__setitem__(key, value)


def _service() -> dict[str, list[str]]:
    parser = configparser.RawConfigParser(dict_type=_Repeated, strict=False)  # type: ignore[arg-type]
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, "utf-8")
    return {name: value.splitlines() for name, value in parser["Service"].items()}


def _parsed(words: list[str]) -> None:
    """Have the CLI take a command line, without doing anything.

    Raises:
        click.UsageError: it does not.
    """
    command, rest = get_command(app), words
    context = command.make_context("callbroker", rest, resilient_parsing=False)
    while isinstance(command, TyperGroup):
        name, found, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert found is not None, words
        command, context = found, found.make_context(name or "", rest, parent=context)


def test_the_unit_starts_what_there_is():
    service = _service()
    for line in (*service["ExecStartPre"], *service["ExecStart"]):
        program, *words = shlex.split(line)
        assert program == PROGRAM
        _parsed(words)
    assert int(service["TimeoutStopSec"][0]) > Settings.model_fields["drain_s"].default
    given = [line.partition("=")[0] for line in service["Environment"]]
    assert given == ["CALLBROKER_CONFIG", "CALLBROKER_LOG_FORMAT"]


def test_the_unit_is_shut_in():
    service = _service()
    assert service["ProtectSystem"] == ["strict"]
    assert service["DynamicUser"] == ["yes"]
    assert service["CapabilityBoundingSet"] == []
    assert service["StateDirectoryMode"] == ["0700"]


def test_systemd_takes_the_unit(tmp_path: Path):
    """Where there is a systemd; elsewhere the others above are what is known."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text("utf-8").replace(PROGRAM, "/bin/true"), "utf-8")
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert UNIT.name not in done.stderr, done.stderr


def test_the_compose_file_runs_what_there_is_under_settings_that_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    broker = COMPOSE["services"]["broker"]
    _parsed(broker["command"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / CONFIG_NAME).write_text("", "utf-8")
    for name, value in broker["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.listen == "0.0.0.0:7400"
    assert settings.web.url.startswith("https://")
    assert int(broker["stop_grace_period"].removesuffix("s")) > settings.drain_s


def test_the_compose_file_names_only_what_it_defines():
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        named = {volume.partition(":")[0] for volume in service["volumes"]}
        assert named <= set(COMPOSE["volumes"])
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])
    database = COMPOSE["services"]["database"]
    assert "ports" not in database
    assert "listen_addresses=" in database["command"]
