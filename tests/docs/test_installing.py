"""What an operator types to install and to upgrade is run as it stands, in folders of a test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from broker.policy import opa_binary
from tests.benchmarks.guarded_echo import free_port
from tests.docs.pages import ROOT, shell_steps

OPERATE = ROOT / "docs" / "operate.md"
STEPS_S = 900
# Starts, and stops, what the unit would: no service manager is asked.
SYSTEMCTL = """#!/bin/sh -eu
case $1 in
start)
  callbroker serve >> serve.log 2>&1 & echo $! > serve.pid
  for _ in $(seq 300); do callbroker freezes >> serve.log 2>&1 && exit 0; sleep 0.2; done; exit 1 ;;
stop)
  kill -TERM "$(cat serve.pid)"
  # Where nobody takes in orphans that have ended, they are there for ever.
  while grep -qs "^State:.[^Z]" "/proc/$(cat serve.pid)/status"; do sleep 0.1; done ;;
esac
"""
SETTINGS = """
listen = "127.0.0.1:{port}"
state = "{place}/state"
database = "sqlite:///{place}/state/callbroker.db"

[web]
listen = ""
"""


class Place:
    """A machine's worth of folders: `opt` stands for /opt/callbroker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opt = path / "opt"
        (path / "bin").mkdir()
        (path / "bin" / "systemctl").write_text(SYSTEMCTL)
        (path / "bin" / "systemctl").chmod(0o755)
        found = opa_binary.find()
        assert found is not None
        (path / "bin" / "opa").symlink_to(found)
        (path / "callbroker.toml").write_text(SETTINGS.format(port=free_port(), place=path))

    def run(self, steps: str) -> str:
        """The steps of a page, one after the other until one fails, in the checkout."""
        text = steps.replace("/opt/callbroker", str(self.opt))
        text = text.replace(" -r requirements", f" -r {ROOT}/requirements")
        text = re.sub(r" \.$", f" {ROOT}", text, flags=re.MULTILINE)
        folders = (self.path / "bin", self.opt / "bin", Path(sys.executable).parent)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CALLBROKER_")}
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", text],
            cwd=self.path,
            env={
                **kept,
                "CALLBROKER_CONFIG": str(self.path / "callbroker.toml"),
                "PATH": os.pathsep.join([*map(str, folders), os.environ["PATH"]]),
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEPS_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4_000:] + self.said()
        return done.stdout

    def said(self) -> str:
        """What the broker wrote."""
        log = self.path / "serve.log"
        return log.read_text()[-2_000:] if log.exists() else ""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_is_installed_serves_and_is_upgraded_in_place(place: Place):
    """In one go, since packages are the better part of both."""
    assert "callbroker 0.1.0" in place.run(shell_steps(OPERATE, "Installing"))
    place.run("callbroker token create operator first-operator --first --save")
    place.run("systemctl start callbroker")
    try:
        place.run("mkdir rules && callbroker policy activate rules")
        said = place.run(shell_steps(OPERATE, "Upgrading"))
    finally:
        place.run("systemctl stop callbroker")
    assert (place.path / "before-upgrade.db").is_file()
    assert "Successfully installed callbroker" in said
    assert place.said().count("broker_started") == 2
