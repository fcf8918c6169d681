"""Lint finds what an image would like to have, and says nothing about one that only has files."""

import stat
from collections.abc import Mapping
from typing import Any

import pytest

from sandboxes.engine import ImageFacts
from sandboxes.images import layout, lint

FILE, DIRECTORY, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
MODES = (
    ("/usr", DIRECTORY),
    ("/usr/bin/python3", LINK),
    ("/tmp", stat.S_IFDIR | 0o1777),
    (layout.ENTRY_PATH, FILE),
    (layout.TOOL_PATH, FILE),
)
CONFIG: Mapping[str, Any] = {
    "Entrypoint": list(layout.ENTRYPOINT),
    "User": "65534:65534",
    "WorkingDir": "/tmp",
    "Env": ["PATH=/usr/bin", "LANG=C.UTF-8"],
    "Cmd": None,
    "Volumes": None,
}


def image(labels: Mapping[str, str] | None = None, **config: Any) -> ImageFacts:
    return ImageFacts(
        digest="sha256:" + "0" * 64,
        names=(),
        size_bytes=1,
        architecture="amd64",
        config={**CONFIG, **config},
        labels={layout.LABEL: "1"} if labels is None else labels,
    )


def test_a_plain_image_passes() -> None:
    assert lint.findings(image(), MODES, architecture="x86_64") == ()


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"Volumes": {"/data": {}}}, "volumes"),
        ({"Healthcheck": {"Test": ["CMD", "true"]}}, "HEALTHCHECK"),
        ({"OnBuild": ["RUN true"]}, "ONBUILD"),
        ({"Cmd": ["sh"]}, "CMD"),
        ({"ExposedPorts": {"80/tcp": {}}}, "ports"),
        ({"StopSignal": "SIGUSR1"}, "STOPSIGNAL"),
        ({"Entrypoint": ["/bin/sh"]}, "ENTRYPOINT"),
        ({"Entrypoint": None}, "ENTRYPOINT"),
        ({"Entrypoint": [*layout.ENTRYPOINT, "more"]}, "ENTRYPOINT"),
        ({"WorkingDir": "/proc/self/fd/7"}, "WORKDIR"),
        ({"WorkingDir": "tmp"}, "WORKDIR"),
        ({"WorkingDir": ""}, "WORKDIR"),
        ({"Env": ["LD_PRELOAD=/evil.so"]}, "LD_PRELOAD"),
        ({"Env": ["PYTHONPATH=/evil"]}, "PYTHONPATH"),
    ],
)
def test_what_the_configuration_asks_for_is_found(config: Mapping[str, Any], word: str) -> None:
    (finding,) = lint.findings(image(**config), MODES)

    assert word in finding


@pytest.mark.parametrize("user", ["", "root", "0", "0:0", "root:65534", "00", "0:65534"])
def test_every_spelling_of_root_is_found(user: str) -> None:
    (finding,) = lint.findings(image(User=user), MODES)

    assert "root" in finding


@pytest.mark.parametrize(
    ("path", "mode", "word"),
    [
        ("/usr/bin/su", stat.S_IFREG | 0o4755, "setuid"),
        ("/usr/bin/wall", stat.S_IFREG | 0o2755, "setuid"),
        ("/dev/sda", stat.S_IFBLK | 0o600, "devices"),
        ("/x", stat.S_IFCHR | 0o666, "devices"),
        ("/var/tmp", stat.S_IFDIR | 0o1777, "everybody"),
        ("/callbroker/tool/tool.py", stat.S_IFREG | 0o664, "everybody"),
        ("/run/pipe", stat.S_IFIFO | 0o600, "pipes"),
        ("/run/socket", stat.S_IFSOCK | 0o600, "pipes"),
        ("/a/../../etc/passwd", FILE, "absolute"),
    ],
)
def test_a_file_that_gives_more_than_its_content_is_found(path: str, mode: int, word: str) -> None:
    found = lint.findings(image(), [*MODES, (path, mode)])

    assert any(word in finding for finding in found)


@pytest.mark.parametrize("path", [layout.ENTRY_PATH, layout.TOOL_PATH, layout.INTERPRETER])
def test_what_must_be_there_is_missed(path: str) -> None:
    found = lint.findings(image(), [(p, m) for p, m in MODES if p != path])

    assert found == (f"{path} is missing.",)


def test_an_image_that_nobody_built_as_a_sandbox_is_found() -> None:
    (finding,) = lint.findings(image(labels={}), MODES)

    assert layout.LABEL in finding


def test_an_image_of_another_architecture_is_found() -> None:
    (finding,) = lint.findings(image(), MODES, architecture="aarch64")

    assert "x86_64" in finding


def test_a_base_needs_no_tool_and_no_entry_point() -> None:
    base = image(labels={layout.BASE_LABEL: "python"}, Entrypoint=None)

    assert lint.findings(base, MODES[:3], base=True) == ()
    assert lint.findings(image(labels={}), MODES, base=True) != ()


def test_a_finding_names_a_few_files_and_escapes_them() -> None:
    many = [(f"/bin/\x1b[2J{n}", stat.S_IFREG | 0o4755) for n in range(100)]

    (finding,) = lint.findings(image(), [*MODES, *many])

    assert finding.startswith("100 files are setuid")
    assert "\x1b" not in finding
    assert len(finding) < 300


def test_everything_is_found_at_once() -> None:
    found = lint.findings(image(labels={}, User="", Cmd=["x"], Volumes={"/a": {}}), ())

    assert len(found) == 7
