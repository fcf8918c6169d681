import ast
from pathlib import Path

import pytest

from broker.cli.failures import CommandFailed
from broker.cli.project_files import new_project, project_files
from broker.cli.trees import checked, documents

PORT = 7400


def test_a_new_project_has_all_that_it_needs_to_run(tmp_path: Path) -> None:
    with new_project(tmp_path / "new", port=PORT):
        pass
    names = {p.relative_to(tmp_path / "new").as_posix() for p in (tmp_path / "new").rglob("*.*")}
    assert {"callbroker.toml", "worker.py", "agent.py", "README.md", ".gitignore"} <= names
    assert [m.name for m in checked(documents([tmp_path / "new" / "tools"]))] == [
        "delete_note",
        "read_note",
    ]


def test_every_python_file_is_python_and_knows_the_address() -> None:
    scripts = {name: text for name, text in project_files().items() if name.endswith(".py")}
    assert set(scripts) == {"agent.py", "worker.py"}
    for text in scripts.values():
        ast.parse(text)
        assert "@ADDRESS@" in text


def test_state_is_never_committed() -> None:
    assert "/state/" in project_files()[".gitignore"].splitlines()


def test_a_project_that_cannot_be_made_ready_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        (tmp_path / "new" / "state").mkdir()
        raise CommandFailed("no")

    with pytest.raises(CommandFailed), new_project(tmp_path / "new", port=PORT):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_was_in_the_directory_before_stays_where_making_fails(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(KeyboardInterrupt), new_project(tmp_path, port=PORT):
        raise KeyboardInterrupt
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert not (tmp_path / "worker.py").exists()
