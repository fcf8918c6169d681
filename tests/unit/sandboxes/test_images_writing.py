"""Images are made byte by byte: what is left out, and that the same files make the same image."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from sandboxes.images import archive
from sandboxes.images.folder import read_folder, run_findings
from sandboxes.images.layout import ENTRYPOINT, entry_files
from sandboxes.images.refusals import BuildRefused
from sandboxes.images.tools import SUPPLIED, supplied_folder
from sandboxes.images.tree import cleaned, paths_of_interpreters


def tree(*entries: tuple[str, bytes, int, str]) -> tarfile.TarFile:
    """Of name, kind, mode and link's target."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, kind, mode, target in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.linkname = kind, mode, target
            entry.mtime, entry.uid, entry.uname = 1_700_000_000, 1000, "somebody"
            entry.pax_headers = {"SCHILY.xattr.security.capability": "cap_sys_admin"}
            content = b"content" if kind == tarfile.REGTYPE else b""
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    made.seek(0)
    return tarfile.open(fileobj=made)


def kept(*entries: tuple[str, bytes, int, str]) -> dict[str, tarfile.TarInfo]:
    with tree(*entries) as made:
        return {entry.name: entry for entry, _ in cleaned(made)}


REG, SYM, LNK, DIR = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def test_a_file_keeps_what_it_is_and_loses_whose_and_when() -> None:
    found = kept(("./usr/bin/tool", REG, 0o4775, ""))["usr/bin/tool"]

    assert (found.mode, found.uid, found.uname, found.mtime) == (0o755, 0, "", 0)
    assert found.pax_headers == {}


def test_a_hard_link_becomes_a_file_of_its_own() -> None:
    with tree(("./usr/bin/z", REG, 0o755, ""), ("./usr/bin/a", LNK, 0o755, "./usr/bin/z")) as made:
        found = {entry.name: (entry, content) for entry, content in cleaned(made)}
        entry, content = found["usr/bin/a"]
        assert entry.isreg()
        assert content is not None
        assert content.read() == b"content"


@pytest.mark.parametrize(
    "name",
    [
        "var/lib/apt/lists/x", "var/cache/x", "var/log/dpkg.log", "etc/shadow", "root/.bashrc",
        "usr/bin/apt-get", "usr/bin/dpkg", "usr/bin/mount", "usr/bin/su", "usr/bin/perl5.36.0",
        "usr/bin/pip3.11", "usr/sbin/useradd", "usr/share/man/x", "usr/share/doc/a/README",
        "debootstrap/log", "tmp/left", "usr/lib/python3.11/test/x.py", "dev/null",
        "usr/lib/python3.11/__pycache__/os.cpython-311.pyc", "etc/resolv.conf", "run/x", "home/x",
    ],
)  # fmt: skip
def test_what_no_tool_needs_is_left_out(name: str) -> None:
    found = kept((name, REG, 0o644, ""))

    assert name not in found


@pytest.mark.parametrize(
    "name",
    ["usr/bin/python3.11", "usr/lib/python3.11/os.py", "usr/share/doc/a/copyright", "usr/bin/grep",
     "usr/lib/locale/C.utf8/LC_CTYPE", "var/lib/dpkg/status", "usr/share/zoneinfo/UTC",
     "etc/alternatives/awk"],
)  # fmt: skip
def test_what_programs_need_is_kept(name: str) -> None:
    assert name in kept((name, REG, 0o644, ""))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_left_out(kind: bytes) -> None:
    assert "usr/lib/x" not in kept(("usr/lib/x", kind, 0o666, ""))


def test_every_base_has_the_same_places_and_users() -> None:
    found = kept(("etc/passwd", REG, 0o644, ""))

    assert found["tmp"].mode == 0o1777
    assert {"dev", "proc", "sys", "etc/passwd", "etc/group", "etc/machine-id"} <= set(found)
    assert found["etc/machine-id"].size == 0


def test_an_interpreter_elsewhere_is_found_where_every_image_has_it() -> None:
    found = kept(("usr/local/bin/python3", SYM, 0o777, "python3.11"))

    assert found["usr/bin/python3"].linkname == "/usr/local/bin/python3"


def test_standard_libraries_are_found_by_what_is_in_them() -> None:
    paths = ["usr/lib/python3.11/os.py", "usr/lib/python3/os.py", "usr/local/lib/python3.12/os.py"]

    assert paths_of_interpreters(paths) == ("usr/lib/python3.11", "usr/local/lib/python3.12")


def test_the_same_files_make_the_same_layer_and_image(tmp_path: Path) -> None:
    files = {"/b/c": b"1", "/a": b"2"}
    digests = set()
    for number, given in enumerate((files, dict(reversed(files.items())))):
        layer = archive.write_layer(tmp_path / str(number), archive.entries_of(given))
        config = archive.configuration(
            architecture="amd64", layers=[layer], labels={"a": "b"}, entry_point=ENTRYPOINT
        )
        digests.add(archive.write_image(io.BytesIO(), config, [layer], "name:tag"))

    assert len(digests) == 1


def test_layers_that_the_engine_has_are_named_and_left_out(tmp_path: Path) -> None:
    below = archive.Layer(diff_id="sha256:" + "a" * 64)
    above = archive.write_layer(tmp_path / "layer", archive.entries_of({"/x": b"1"}))
    config = archive.configuration(architecture="amd64", layers=[below, above], labels={})
    written = io.BytesIO()
    archive.write_image(written, config, [below, above], "name:tag")
    written.seek(0)

    with tarfile.open(fileobj=written) as image:
        names = image.getnames()
        manifest = json.loads(image.extractfile("manifest.json").read())  # type: ignore[union-attr]

    assert len(manifest[0]["Layers"]) == 2
    assert [name for name in names if name.endswith("layer.tar")] == manifest[0]["Layers"][1:]


def test_directories_above_a_file_come_before_it() -> None:
    names = [entry.name for entry, _ in archive.entries_of({"/a/b/c.py": b"", "/a/d.py": b""})]

    assert names == ["a", "a/b", "a/b/c.py", "a/d.py"]


def test_the_entry_program_is_all_there() -> None:
    found = entry_files()

    assert {"/callbroker/entry.py", "/callbroker/sandboxes/entry/serving.py"} <= set(found)
    assert all(path.startswith("/callbroker/") for path in found)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("def run(call, *, a, b=1): pass", ""),
        ("def run(call, a, b=1): pass", ""),
        ("def run(call, **all): pass", ""),
        ("def run(call, a, **rest): pass", ""),
        ("def run(call, *, a): pass", "does not take b"),
        ("def run(call, *, a, b): pass", "default for b"),
        ("def run(call, *, a, b=1, c): pass", "default for c"),
        ("def run(): pass", "takes no call"),
        ("async def run(call, a, b=1): pass", "asynchronous"),
        ("def other(call): pass", "no `def run"),
        ("def run(", "not Python"),
        ("\0", "not Python"),
    ],
)
def test_run_must_take_what_the_manifest_gives(source: str, word: str) -> None:
    found = run_findings(source.encode(), taken=("a", "b"), required=("a",))

    assert word in " ".join(found)
    assert bool(found) == bool(word)


def test_a_folder_without_a_tool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildRefused, match=r"tool\.py and manifest\.yaml are missing"):
        read_folder(tmp_path)


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text("def run(call): pass")
    (tmp_path / "manifest.yaml").write_text("name: x")
    (tmp_path / "key.pem").symlink_to("/etc/passwd")

    with pytest.raises(BuildRefused, match="is a link"):
        read_folder(tmp_path)


def test_what_is_no_part_of_a_tool_stays_out_of_its_image(tmp_path: Path) -> None:
    for name in ("tool.py", "manifest.yaml", "requirements.txt", ".env", "lib/a.py", ".git/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    assert set(read_folder(tmp_path).files) == {"tool.py", "lib/a.py"}


@pytest.mark.parametrize("name", SUPPLIED)
def test_every_supplied_tool_comes_along(name: str) -> None:
    folder = supplied_folder(name)

    assert folder is not None
    assert read_folder(folder).manifest


def test_no_other_name_is_a_supplied_tool() -> None:
    assert supplied_folder("../images") is None
