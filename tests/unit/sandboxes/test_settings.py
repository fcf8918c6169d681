"""The node's settings and its start: safe by default, and every problem is told at once."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxes import main
from sandboxes.engine import ContainerFound
from sandboxes.reaper import orphans, reap_directories
from sandboxes.settings import SandboxdSettings, SettingsRefused, load


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.fixture
def config(here: Path) -> Path:
    return here / "sandboxd.toml"


def findings(**given: object) -> str:
    with pytest.raises(SettingsRefused) as refused:
        load(**given)
    return "\n".join(refused.value.findings)


def test_by_default_it_listens_for_this_user_alone(here: Path) -> None:
    settings = load()

    assert settings.listen == f"unix:{here}/sandboxd/sandboxd.sock"
    assert settings.socket == here / "sandboxd" / "sandboxd.sock"
    assert settings.engine == "unix:///var/run/docker.sock"
    assert (settings.warm, settings.containers_max) == (2, 16)


def test_paths_are_relative_to_the_file_and_the_environment_wins(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = here / "etc"
    folder.mkdir()
    (folder / "node.toml").write_text(
        'state = "state"\nwarm = 3\nprofiles = "profiles"\n'
        '[credentials.shop]\nhosts = ["api.example.com"]\nfile = "shop.key"\n'
    )
    monkeypatch.setenv("CALLBROKER_SANDBOXD_CONFIG", str(folder / "node.toml"))
    monkeypatch.setenv("CALLBROKER_SANDBOXD_WARM", "5")

    settings = load()

    assert settings.state == folder / "state"
    assert settings.profiles == folder / "profiles"
    assert settings.credentials["shop"].file == folder / "shop.key"
    assert settings.warm == 5


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("warmm = 3", "did you mean warm?"),
        ("warm = -1", "warm"),
        ('listen = "0.0.0.0:7500"', "could run anything"),
        ('listen = "nonsense"', "unix:{path}"),
        ('engine = "tcp://10.0.0.1:2375"', "not a socket here"),
        ("uid_first = 0", "uid_first"),
        ("uid_first = 765500", "fewer than four"),
        ('tls_key_file = "k"', "for listen = host:port"),
        ('[credentials.a]\nhosts = []\nfile = "f"', "credentials.a.hosts"),
        ('[credentials.a]\nhosts = ["h"]', "either a file or a directory"),
        ("warm =", "sandboxd.toml"),
    ],
)
def test_a_setting_that_makes_no_sense_is_told(config: Path, line: str, word: str) -> None:
    config.write_text(f"{line}\n")

    assert word in findings()


def test_every_problem_is_told_at_once(config: Path) -> None:
    config.write_text('warm = "x"\ncontainers_max = 0\nlog_level = "loud"\n')

    told = findings()

    assert all(name in told for name in ("warm", "containers_max", "log_level"))


def test_a_path_that_is_too_long_for_a_socket_is_told(here: Path) -> None:
    assert "too long for a socket" in findings(state=here / ("x" * 100))


def test_a_file_that_is_named_and_not_there_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBROKER_SANDBOXD_CONFIG", str(here / "nothing.toml"))

    assert "There is no file" in findings()


def test_every_setting_is_explained() -> None:
    for name, field in SandboxdSettings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_the_state_directory_is_the_nodes_alone_and_locked(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    with main._locked(state):
        mode = stat.S_IMODE(state.stat().st_mode)
        with pytest.raises(main.StartRefused, match="Another sandboxd"), main._locked(state):
            pass
    with main._locked(state):
        pass

    assert mode == 0o700


def test_a_node_keeps_its_id(tmp_path: Path) -> None:
    path = tmp_path / "node_id"

    assert main._node_id(path) == main._node_id(path)


def test_a_stale_socket_makes_way_and_anything_else_does_not(tmp_path: Path) -> None:
    stale, used, file = tmp_path / "stale", tmp_path / "used", tmp_path / "file"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(stale))
    file.write_text("kept")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(used))
        listening.listen()
        main._require_free(stale)
        with pytest.raises(main.StartRefused, match="Another process listens"):
            main._require_free(used)
    with pytest.raises(main.StartRefused, match="is no socket"):
        main._require_free(file)

    assert not stale.exists()
    assert file.read_text() == "kept"


def test_only_what_nobody_owns_is_an_orphan() -> None:
    def found(name: str) -> ContainerFound:
        return ContainerFound(container=name, labels={"callbroker.run": name}, state="running")

    unlabelled = ContainerFound(container="x", labels={}, state="created")

    assert orphans([found("a"), found("b"), unlabelled], {"a"}) == (found("b"), unlabelled)


def test_directories_that_nobody_owns_are_removed_and_links_are_not_followed(
    tmp_path: Path,
) -> None:
    ways_out, elsewhere = tmp_path / "egress", tmp_path / "elsewhere"
    for each in (ways_out / "owned", ways_out / "left" / "deep", elsewhere):
        each.mkdir(parents=True)
    (elsewhere / "kept").touch()
    (ways_out / "link").symlink_to(elsewhere)
    (ways_out / "file").touch()

    assert reap_directories(ways_out, {"owned"}) == 3
    assert [each.name for each in ways_out.iterdir()] == ["owned"]
    assert (elsewhere / "kept").exists()
    assert reap_directories(tmp_path / "nothing", ()) == 0
