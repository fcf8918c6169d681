"""The committed stubs are what `make proto` makes of the proto files, no more and no less."""

from pathlib import Path

import pytest

from tests.project.checkout import ROOT, run

PACKAGES = sorted(folder for folder in (ROOT / "proto").glob("*/v1") if any(folder.glob("*.proto")))


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stubs")
    made = run("make", "--no-print-directory", "proto", f"PROTO_OUT={out}")
    assert made.returncode == 0, made.stdout + made.stderr
    return out


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.parent.name)
def test_the_stubs_are_fresh(regenerated: Path, package: Path) -> None:
    folder = package.relative_to(ROOT / "proto")
    expected = {path.name: path.read_bytes() for path in (regenerated / folder).iterdir()}
    committed = {path.name: path.read_bytes() for path in (ROOT / folder).glob("*_pb2*.py*")}

    stale = sorted(
        name for name in expected.keys() | committed if expected.get(name) != committed.get(name)
    )
    assert stale == [], "run `make proto`"


def test_the_proto_files_are_not_a_python_package() -> None:
    assert list((ROOT / "proto").rglob("*.py")) == []
