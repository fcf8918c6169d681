"""The wheel: its base is the SDK on grpcio and protobuf alone, and it carries the policies."""

import sys
import sysconfig
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.project.checkout import ROOT, run

BASE_DEPENDENCIES = {"grpcio", "protobuf"}
BASE_MODULES = ["grpc", "google/protobuf", "google/_upb", "typing_extensions.py"]
"""What those two install, in site-packages."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(out))
    assert built.returncode == 0, built.stdout + built.stderr
    [path] = out.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def base_install(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install callbroker` leaves: the wheel's files and its two dependencies."""
    site = tmp_path_factory.mktemp("site")
    wheel.extractall(site)
    packages = Path(sysconfig.get_paths()["platlib"])
    for name in BASE_MODULES:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).symlink_to(packages / name)
    return site


def _metadata(wheel: zipfile.ZipFile) -> Message:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return HeaderParser().parsestr(wheel.read(name).decode("utf-8"))


def _python(site: Path, code: str) -> tuple[int, str, str]:
    """Runs code where only the base install and the standard library can be imported."""
    ended = run(
        sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{code}"
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_the_base_install_needs_grpcio_and_protobuf_alone(wheel: zipfile.ZipFile) -> None:
    required = _metadata(wheel).get_all("Requires-Dist") or []
    base = {line.split(">")[0].split("<")[0].strip() for line in required if "extra ==" not in line}

    assert base == BASE_DEPENDENCIES


def test_the_command_of_a_base_install_names_the_extra(base_install: Path) -> None:
    code, said, complaint = _python(
        base_install, "from broker.command import main\nsys.exit(main())"
    )

    assert (code, said) == (2, ""), complaint
    assert complaint.count("\n") == 1
    assert 'pip install "callbroker[server]"' in complaint


def test_the_sdk_and_the_stubs_import_on_a_base_install(base_install: Path) -> None:
    modules = [
        ".".join(path.relative_to(base_install).with_suffix("").parts).removesuffix(".__init__")
        for folder in ("broker/sdk", "broker/v1")
        for path in sorted((base_install / folder).rglob("*.py"))
        if "contrib" not in path.parts  # each needs its framework
    ]
    code, _, complaint = _python(
        base_install, f"import importlib\nfor name in {modules!r}: importlib.import_module(name)"
    )

    assert modules
    assert code == 0, complaint


def test_the_wheel_carries_the_policies(wheel: zipfile.ZipFile) -> None:
    carried = {
        name.removeprefix("broker/_policies/"): wheel.read(name)
        for name in wheel.namelist()
        if name.startswith("broker/_policies/")
    }
    ours = {
        str(path.relative_to(ROOT / "policies")): path.read_bytes()
        for path in (ROOT / "policies").rglob("*")
        if path.is_file()
    }

    assert ours
    assert carried == ours


def test_the_wheel_carries_all_that_a_node_reads_and_builds_from(wheel: zipfile.ZipFile) -> None:
    needed = {
        path.relative_to(ROOT).as_posix()
        for part in ("profiles", "seccomp", "tools", "entry", "images/left_out")
        for path in (ROOT / "sandboxes" / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {"sandboxes/profiles/schema.json", "sandboxes/entry/entry.py"} <= needed
    assert needed <= set(wheel.namelist())


def test_the_wheel_carries_all_that_pages_are_made_of(wheel: zipfile.ZipFile) -> None:
    needed = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "broker" / "web").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert "broker/web/static/vendor/htmx.min.js" in needed
    assert needed <= set(wheel.namelist())


def test_the_profiles_of_an_installed_wheel_are_read(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path)
    shown = run(
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import sandboxes; print(sandboxes.__file__)\n"
        "from broker.cli.main import main; sys.exit(main(['sandbox', 'profiles']))",
    )

    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(str(tmp_path))
    assert all(name in shown.stdout for name in ("strict", "compute", "egress", "gvisor"))


def test_the_wheel_carries_types_licence_and_the_go_lock(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()

    assert {"broker/py.typed", "broker/policy/go.txt", "sandboxes/__init__.py"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_carries_no_tests_examples_or_caches(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"broker", "sandboxes"}
    assert not [name for name in wheel.namelist() if "__pycache__" in name]
