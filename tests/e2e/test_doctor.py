"""`callbroker doctor` looks at a real engine, and at one that is absent or hangs."""

import json
import os
import subprocess
import sys

import pytest

from tests.engine import ROOT

COMMAND = [sys.executable, "-m", "broker.command", "doctor"]
DEADLINE_S = 60


def _doctor(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def test_a_real_engine_is_examined_part_by_part(container_engine):
    ended = _doctor("--engine", container_engine.url, "--json")

    told = json.loads(ended.stdout)
    of_part = {finding["part"]: finding for finding in told["findings"]}
    version = container_engine.ask("GET", "/version")["Version"]
    assert {"engine", "runc", "kernel", "cgroups", "seccomp", "lsm", "socket"} <= of_part.keys()
    assert any(version in finding["said"] for finding in told["findings"])
    assert all(finding["mend"] for finding in told["findings"] if finding["level"] != "ok")
    assert ended.returncode == (1 if told["level"] == "refused" else 0), ended.stderr


def test_strict_lets_a_warning_fail(container_engine):
    level = json.loads(_doctor("--engine", container_engine.url, "--json").stdout)["level"]

    ended = _doctor("--engine", container_engine.url, "--strict")

    assert ended.returncode == (0 if level == "ok" else 1)
    assert ended.stdout.splitlines()[-1].endswith(" ok")


def test_an_absent_engine_is_refused_with_what_mends_it(tmp_path):
    ended = _doctor("--engine", f"unix://{tmp_path / 'no.sock'}")

    assert ended.returncode == 1
    said = " ".join(ended.stdout.split())  # however wide the lines are
    assert "no such file or directory" in said
    assert "apt-get install docker.io" in said


def test_an_engine_that_hangs_does_not_hang_the_doctor(own_engine):
    own_engine.hang()
    try:
        ended = _doctor("--engine", own_engine.url)
    finally:
        own_engine.resume()

    assert ended.returncode == 1
    assert "timed out" in ended.stdout


@pytest.mark.parametrize("url", ["docker.sock", "tcp://127.0.0.1:2375", "unix://", ""])
def test_an_address_that_is_none_is_one_sentence(url):
    ended = _doctor("--engine", url)

    assert ended.returncode == 2
    assert "is not a socket of this machine" in ended.stderr


def test_the_engine_is_looked_for_where_the_settings_name_it(tmp_path):
    """Not where another one is: a broker starts its own from there and nowhere else."""
    settings = tmp_path / "callbroker.toml"
    settings.write_text(f'opa = "{tmp_path}/opa"\n', "utf-8")
    ended = subprocess.run(
        [*COMMAND, "--engine", f"unix://{tmp_path}/none", "--json"],
        cwd=tmp_path,
        env={**os.environ, "CALLBROKER_CONFIG": str(settings)},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )

    (found,) = [f for f in json.loads(ended.stdout)["findings"] if f["part"] == "opa"]
    assert (found["level"], ended.returncode) == ("refused", 1)
    assert f"{tmp_path}/opa, which is not there" in found["said"]
