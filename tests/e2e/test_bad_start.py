"""Somebody wrote into the database while the broker was down: it does not start, and says why.

The broker decides by what the revision in force names, or not at all.
"""

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog

from broker.app import Application
from broker.core.errors import BrokerError
from broker.log import configure
from broker.policy.bundle import revision_of
from broker.ports import PolicyRefused
from tests.e2e.opening import open_shop, settings_in
from tests.replay.running import Loop

ROOT = Path(__file__).parents[2]
DESK = "broker/rules/desk/desk.rego"
LAX = b"""\
package broker.rules.desk

verdicts contains {"effect": "ALLOW", "code": "LAX", "message": "Why not."}
"""
Kept = dict[str, Any]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a broker with a policy in force has left on the disk."""
    directory = tmp_path_factory.mktemp("stopped") / "shop"
    with open_shop() as shop:
        shop.loop.run(shop.application.stop())
        shutil.copytree(shop.directory, directory)
    return directory


@pytest.fixture
def directory(stopped: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to write into."""
    before = structlog.get_config()
    configure(level="error")
    yield Path(shutil.copytree(stopped, tmp_path / "shop"))
    structlog.configure(**before)


def started(directory: Path) -> bool:
    """Start a broker, and stop it again; whether its policy is ready."""
    application = Application(settings_in(directory))
    with Loop() as loop:
        loop.run(application.start())
        loop.run(application.stop())
    return True


def write(directory: Path, kept: bytes | None) -> None:
    """Put something else in the place of the policy in force; None deletes it."""
    with closing(sqlite3.connect(directory / "state" / "callbroker.db")) as database, database:
        if kept is None:
            database.execute("DELETE FROM documents WHERE kind = 'policy'")
        else:
            database.execute("UPDATE documents SET body = ? WHERE kind = 'policy'", (kept,))


def read(directory: Path) -> Kept:
    with closing(sqlite3.connect(directory / "state" / "callbroker.db")) as database:
        [(body,)] = database.execute("SELECT body FROM documents WHERE kind = 'policy'")
    kept: Kept = json.loads(body)
    kept["files"] = {path: base64.b64decode(data) for path, data in kept["files"].items()}
    return kept


def packed(kept: Kept) -> bytes:
    files = {path: base64.b64encode(data).decode() for path, data in kept["files"].items()}
    return json.dumps({**kept, "files": files}).encode()


def put_in_force(directory: Path, kept: Kept) -> None:
    """Write other sources under a revision of their own, which the control row names too."""
    kept["revision"] = revision_of(kept["files"])
    with closing(sqlite3.connect(directory / "state" / "callbroker.db")) as database, database:
        [(body,)] = database.execute("SELECT body FROM control_rows WHERE kind = 'policy'")
        row = json.dumps({**json.loads(body), "revision": kept["revision"]}).encode()
        database.execute("UPDATE control_rows SET body = ? WHERE kind = 'policy'", (row,))
        database.execute(
            "UPDATE documents SET body = ?, digest = ? WHERE kind = 'policy'",
            (packed(kept), kept["revision"]),
        )


def test_what_nobody_wrote_into_starts(directory: Path):
    assert started(directory)


def test_what_the_engine_would_load_is_built_anew_from_the_sources(directory: Path):
    """I leave the sources as they are, and exchange what was built from them."""
    write(directory, packed({**read(directory), "bundle": "bm90IGl0"}))
    assert started(directory)


def laxer(kept: Kept) -> None:
    kept["files"][DESK] = LAX


def without_the_entry_point(kept: Kept) -> None:
    for path in [p for p in kept["files"] if p.startswith("broker/decision/")]:
        del kept["files"][path]


def without_a_family(kept: Kept) -> None:
    del kept["files"][DESK]


def without_a_family_in_silence(kept: Kept) -> None:
    del kept["files"][DESK]
    terms = json.loads(kept["files"]["callbroker/data.json"])
    terms["families"].remove("desk")
    kept["families"].remove("desk")
    kept["files"]["callbroker/data.json"] = json.dumps(terms).encode()


def that_names_other_families_than_it_has(kept: Kept) -> None:
    kept["families"].remove("desk")


def that_does_not_compile(kept: Kept) -> None:
    kept["files"][DESK] = b"package broker.rules.desk\n\nverdicts {"


def that_is_empty(kept: Kept) -> None:
    kept["files"].clear()


def without_capabilities(kept: Kept) -> None:
    del kept["files"]["capabilities.json"]


def that_leaves_its_place(kept: Kept) -> None:
    kept["files"]["../../../outside.rego"] = b"package outside\n"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_the_entry_point, "does not answer: POLICY_UNDEFINED"),
        (without_a_family, "desk: contributes no verdicts"),
        (without_a_family_in_silence, "desk: the family has vanished"),
        (that_names_other_families_than_it_has, "not what its revision says"),
        (that_does_not_compile, "desk.rego:3: rego_parse_error"),
        (that_is_empty, "not a stored bundle"),
        (without_capabilities, "or lacks one"),
        (that_leaves_its_place, "files that no bundle has"),
    ],
)
def test_a_policy_that_cannot_decide_is_not_started(
    directory: Path, change: Callable[[Kept], None], told: str
):
    """I write a policy into the database that is whole by its digest, and cannot decide."""
    kept = read(directory)
    change(kept)
    put_in_force(directory, kept)
    with pytest.raises(PolicyRefused, match="The policy in force cannot decide") as refused:
        started(directory)
    assert told in str(refused.value)


def test_what_is_kept_under_a_revision_is_of_that_revision(directory: Path):
    """I put laxer rules, under their own digest, in the place of the policy in force."""
    kept = read(directory)
    laxer(kept)
    kept["revision"] = revision_of(kept["files"])
    write(directory, packed(kept))
    with pytest.raises(PolicyRefused, match="is another policy"):
        started(directory)


@pytest.mark.parametrize("kept", [b"", b"nonsense", b"{}", b"[" * 100_000])
def test_what_is_no_bundle_is_not_started(directory: Path, kept: bytes):
    """I overwrite the policy in force."""
    write(directory, kept)
    with pytest.raises(PolicyRefused, match="not a stored bundle"):
        started(directory)


def test_a_policy_that_is_gone_is_not_started(directory: Path):
    """I delete the policy in force, so that nothing is there to deny me."""
    write(directory, None)
    with pytest.raises(BrokerError, match="is not kept"):
        started(directory)


def test_whoever_starts_it_by_command_is_told_in_a_sentence(directory: Path):
    """I change one rule of the policy in force, and leave its digest as it was."""
    kept = read(directory)
    laxer(kept)
    write(directory, packed(kept))
    settings = settings_in(directory)
    environment = {
        **{name: value for name, value in os.environ.items() if "CALLBROKER" not in name},
        "CALLBROKER_STATE": str(settings.state),
        "CALLBROKER_OPA": str(settings.opa),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "broker.command", "serve", "--port", "0"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "The policy in force cannot decide: the stored bundle is not what" in done.stderr
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
