"""Programs that others wrote to get out of a container, where a folder of them is at hand.

CALLBROKER_ESCAPE names it (`build.sh`, `run_matrix.py`, `host_attacks.py`). Its 119 probes are
aimed at the very body that a node sends, under each profile, and its two-sided attacks at the flags
of strict. What they open is compared with `expected/escape/`: one more fails, and so does one less.
Without the folder the one test here says so.
"""

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from sandboxes import seccomp, spec
from sandboxes.strict_yaml import read_yaml
from tests.attacks.sandbox.prober import refusal, shipped
from tests.base_images import python_root
from tests.engine_api import ContainerEngine

FOLDER = os.environ.get("CALLBROKER_ESCAPE")
EXPECTED = Path(__file__).with_name("expected") / "escape"
PROBES = 119
UID = 739_001
BUILD_DEADLINE_S = 300
MATRIX_DEADLINE_S = 600
TWO_SIDED_DEADLINE_S = 600
TWO_SIDED_MIN = 25
# All but internal_net, which needs an engine with a bridge, and a profile that has one.
TWO_SIDED = """
    log_flood volume health workdir exec_watch exec_inherits suid_image bad_layout socket_power
    uid_quota pty uds_egress cp_tricks tar_tricks killed_client ignore_term
""".split()  # noqa: SIM905 - read as they are typed

if not FOLDER:

    def test_it_is_said_where_there_is_nothing_to_run(capsys: pytest.CaptureFixture[str]) -> None:
        with capsys.disabled():
            print("\nCALLBROKER_ESCAPE is not set: no programs of others were run.")  # noqa: T201

else:

    @pytest.fixture(scope="module")
    def probe_image(container_engine: ContainerEngine) -> str:
        """The folder's own image, built on the tests' engine."""
        assert shutil.which("docker"), "run `apt-get install docker.io`"
        build = ["sh", str(Path(FOLDER) / "build.sh")]
        done = _run(build, container_engine, Path(FOLDER), BUILD_DEADLINE_S)
        assert done.returncode == 0, done.stderr[-2000:]
        return "esc-probe"

    @pytest.mark.parametrize("profile", ["strict", "compute", "egress"])
    def test_their_probes_open_what_is_named_and_nothing_else(
        profile: str, container_engine: ContainerEngine, probe_image: str, tmp_path: Path
    ) -> None:
        _check(profile, _matrix(profile, container_engine, probe_image, tmp_path))

    async def test_their_probes_under_gvisor_open_what_is_named_or_it_is_refused(
        container_engine: ContainerEngine, probe_image: str, tmp_path: Path
    ) -> None:
        reason = await refusal(container_engine, "gvisor")
        if reason:
            assert "--add-runtime runsc=" in reason
        else:
            _check("gvisor", _matrix("gvisor", container_engine, probe_image, tmp_path))

    def test_their_two_sided_attacks_find_what_is_named_and_nothing_else(
        container_engine: ContainerEngine, probe_image: str, tmp_path: Path
    ) -> None:
        assert probe_image
        with python_root().open("rb") as tar:
            digest = container_engine.import_root(tar)
        container_engine.ask("POST", f"/images/{digest}/tag?repo=tool-py&tag=latest")
        command = [sys.executable, str(Path(FOLDER) / "host_attacks.py"), *TWO_SIDED]
        done = _run(command, container_engine, tmp_path, TWO_SIDED_DEADLINE_S, _flags(tmp_path))
        found: dict[str, set[str]] = {}
        for row in map(json.loads, done.stdout.splitlines()):
            found.setdefault(row["r"], set()).add(row["id"])
        assert found["open"] == _expected("two_sided", "open") - _beyond_this_python(), done.stdout
        assert found["error"] == _expected("two_sided", "error"), done.stdout
        assert len(set().union(*found.values())) >= TWO_SIDED_MIN


def _beyond_this_python() -> set[str]:
    """Their archives need the filters that tarfile has from 3.11.4 on, and end in a TypeError."""
    listed = _expected("two_sided", "open")
    return set() if hasattr(tarfile, "data_filter") else {n for n in listed if n.startswith("tar_")}


def _check(profile: str, verdicts: Mapping[str, str]) -> None:
    assert len(verdicts) == PROBES
    for verdict in ("open", "error"):
        found = {name for name, said in verdicts.items() if said == verdict}
        assert found == _expected(profile, verdict), verdict


@functools.cache
def _expected(profile: str, verdict: str) -> set[str]:
    listed = read_yaml((EXPECTED / f"{profile}.yaml").read_bytes())
    return set(listed.get(verdict, {}))


def _matrix(profile: str, engine: ContainerEngine, image: str, folder: Path) -> dict[str, str]:
    """What each of their probes says: open, blocked, info or error."""
    asked = shipped(profile)
    architecture = engine.ask("GET", "/info")["Architecture"]
    # Their program reads the list from a file beside the body, and puts it where it belongs.
    (folder / "seccomp.json").write_text(seccomp.stored(architecture), "utf-8")
    way_out = folder / "egress"
    way_out.mkdir()
    body = spec.body(
        asked,
        image=f"sha256:{'0' * 64}",
        uid=UID,
        seccomp="seccomp.json",
        labels={"callbroker.test": "escape"},
        egress_directory=None if asked.isolated else way_out,
    )
    (folder / "body.json").write_text(json.dumps(body), "utf-8")
    command = [sys.executable, str(Path(FOLDER or "") / "run_matrix.py")]
    command += ["--spec", str(folder / "body.json"), "--json", str(folder / "rows.json")]
    done = _run([*command, "--image", image], engine, folder, MATRIX_DEADLINE_S)
    assert done.returncode == 0, done.stderr[-2000:]
    (rows,) = json.loads((folder / "rows.json").read_text("utf-8")).values()
    return {name: row["r"] for name, row in rows.items()}


def _flags(folder: Path) -> str:
    """The body of strict as flags of `docker run`, as far as there are flags, without a user."""
    profile = shipped("strict")
    listed = folder / "seccomp.json"
    listed.write_text(seccomp.stored(platform.machine()), "utf-8")
    image = f"sha256:{'0' * 64}"
    body = spec.body(profile, image=image, uid=UID, seccomp=str(listed), labels={})
    host = body["HostConfig"]
    return " ".join(
        [
            "--network none --read-only --cap-drop ALL --ipc none --cgroupns private --init=false",
            *(f"--security-opt {option}" for option in host["SecurityOpt"]),
            f"--log-driver none --no-healthcheck --hostname {body['Hostname']}",
            *(f"--dns {address}" for address in host["Dns"]),
            f"--memory {host['Memory']} --memory-swap {host['MemorySwap']}",
            f"--pids-limit {host['PidsLimit']} --cpus {profile.cpus}",
            f"--oom-score-adj {host['OomScoreAdj']}",
            *(f"--tmpfs {path}:{options}" for path, options in host["Tmpfs"].items()),
            *(f"--ulimit {u['Name']}={u['Soft']}:{u['Hard']}" for u in host["Ulimits"]),
        ]
    )


def _run(
    command: list[str],
    engine: ContainerEngine,
    folder: Path,
    deadline_s: float,
    flags: str = "",
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={**os.environ, "DOCKER_HOST": engine.url, "FLAGS": flags},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=deadline_s,
    )
