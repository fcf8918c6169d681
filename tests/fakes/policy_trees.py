"""The real OPA binary and small policy trees, for tests that ask it."""

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.policy.bundle import PolicyBundle, build
from broker.policy.opa_binary import find
from broker.policy.sources import library_directory


@functools.cache
def opa() -> Path:
    """The pinned OPA; a test that needs it fails without."""
    found = find()
    assert found is not None, "No OPA of the pinned version: run make, which builds it."
    return found


def family(body: str, *, name: str = "sample") -> dict[str, str]:
    """The tree of one family of this name, whose rules are `body`."""
    return {f"broker/rules/{name}/{name}.rego": f"package broker.rules.{name}\n\n{body}\n"}


ALLOW_ALL = 'verdicts contains {"effect": "ALLOW", "code": "FINE", "message": "Fine."}'


def write_tree(directory: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory


@functools.cache
def _bare_files() -> dict[str, str]:
    """The shipped library with one family, `behaviour`, so that no other speaks in a test."""
    root = library_directory()
    files = [
        *root.glob("broker/decision/*.rego"),
        *root.glob("broker/rules/behaviour/*"),
        *root.glob("presets/*.yaml"),
        root / "capabilities.json",
    ]
    return {str(path.relative_to(root)): path.read_text("utf-8") for path in files}


def bundle_of(files: Mapping[str, str], **options: Any) -> PolicyBundle:
    """The bundle of a library with one family, and an operator's tree of these files over it."""
    with tempfile.TemporaryDirectory() as directory:
        library = write_tree(Path(directory) / "library", _bare_files())
        tree = write_tree(Path(directory) / "tree", files)
        tree.mkdir(exist_ok=True)
        return build(opa=opa(), directory=tree, library=library, **options)
