"""Set-up does nothing twice, goes by the locks, and says in one sentence what is missing."""

import ast
import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.project.checkout import ROOT

OLDEST_PYTHON_THAT_GETS_A_SENTENCE = (3, 7)


@pytest.fixture
def install(tmp_path: Path) -> ModuleType:
    """The installer of a checkout of its own, whose environment is a stamp alone."""
    (tmp_path / ".venv").mkdir()
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    spec = importlib.util.spec_from_file_location(
        "installer", tmp_path / "requirements" / "install.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _stamp(root: Path, *, made_at: Path | None = None, **made: str) -> None:
    stamp = {"root": str(made_at or root), **made}
    (root / ".venv" / "set-up.json").write_text(json.dumps(stamp))


def test_an_old_python_can_read_far_enough_to_say_that_it_is_too_old() -> None:
    for name in ("install.py", "system_programs.py"):
        source = (ROOT / "requirements" / name).read_text("utf-8")

        ast.parse(source, feature_version=OLDEST_PYTHON_THAT_GETS_A_SENTENCE)


def test_an_environment_without_a_stamp_is_not_ready(install: ModuleType) -> None:
    assert not install.environment_is_ready("run")


def test_an_environment_of_the_same_locks_is_ready(install: ModuleType, tmp_path: Path) -> None:
    _stamp(tmp_path, run=install._digest("run"))

    assert install.environment_is_ready("run")
    assert not install.environment_is_ready("test")


def test_an_environment_for_tests_is_also_ready_to_run(install: ModuleType, tmp_path: Path) -> None:
    _stamp(tmp_path, test=install._digest("test"))

    assert install.environment_is_ready("run")
    assert install.environment_is_ready("check")


def test_static_checks_need_no_container_engine(install: ModuleType) -> None:
    programs = install._load(ROOT / "requirements" / "system_programs.py")

    assert "dockerd" in programs.NEEDED["test"]
    assert programs.NEEDED["check"] == ("git",)
    assert programs.NEEDED["run"] == ()
    assert set(programs.NEEDED) == set(programs.WISHED) == set(install.LOCKS)
    assert {*programs.NEEDED["test"], *programs.WISHED["test"]} == set(programs.PACKAGES)
    assert set(programs.WISHED["test"]) == set(programs.WITHOUT)


def test_a_program_is_absent_where_neither_path_nor_its_file_has_it(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = install._load(ROOT / "requirements" / "system_programs.py")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dockerd-of-a-test").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    there, gone = str(tmp_path / "bin"), str(tmp_path / "gone")

    assert programs.absent(["dockerd-of-a-test", "no-such-program", there, gone]) == (
        "no-such-program",
        gone,
    )


def test_what_apt_has_no_package_for_is_remembered_and_said_each_time(
    install: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".cache").mkdir()
    source = tmp_path / "requirements" / "system_programs.py"
    wanting = source.read_text("utf-8") + (
        '\nPACKAGES["no-such-program"] = ("no-such-package",)'
        '\nNEEDED["run"] = ()\nWISHED["run"] = ("no-such-program",)'
        '\nWITHOUT["no-such-program"] = "NOT TESTED: it."\n'
    )
    source.write_text(wanting, "utf-8")
    install._write_unobtainable(["no-such-program"])

    for _ in range(2):
        install.make_system_programs("run", install.Screen(lively=False))
        assert capsys.readouterr().out == "  NOT TESTED: it.\n"


@pytest.mark.parametrize("changed", ["requirements/server.txt", "pyproject.toml"])
def test_a_changed_lock_or_project_file_is_installed_again(
    install: ModuleType, tmp_path: Path, changed: str
) -> None:
    _stamp(tmp_path, run=install._digest("run"))
    with (tmp_path / changed).open("a") as handle:
        handle.write("# changed\n")

    assert not install.environment_is_ready("run")


def test_an_environment_that_was_moved_is_made_again(install: ModuleType, tmp_path: Path) -> None:
    _stamp(tmp_path, made_at=tmp_path / "elsewhere", run=install._digest("run"))

    assert not install.environment_is_ready("run")


def test_the_heading_comes_once_and_only_before_a_step(
    install: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = install.Screen(lively=False)
    assert capsys.readouterr().out == ""

    for title in ("Python environment", "OPA 1.22.0"):
        with screen.step(title) as step:
            step.note = "a note"

    heading, *steps = capsys.readouterr().out.splitlines()
    assert heading.startswith("Setting up, once")
    assert [bool(re.search(r"ready +0 s   a note$", step)) for step in steps] == [True, True]


def test_a_failed_command_is_named_with_the_last_of_what_it_said(install: ModuleType) -> None:
    with pytest.raises(install.SetUpFailedError, match=r"(?s)`sh -c .*` failed\..*no such wheel"):
        install._run(["sh", "-c", "echo no such wheel; exit 3"])


def test_an_unknown_purpose_gets_the_usage(install: ModuleType) -> None:
    assert install.main(["everything"]) == 2
