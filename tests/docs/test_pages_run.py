"""The commands of every page print what the page says, against a support desk that is alive."""

import time
from pathlib import Path

import pytest

from tests.docs.console import Names, Step, steps
from tests.docs.live_desk import LiveDesk, serving
from tests.docs.pages import PAGES, ROOT, blocks, name_of

RUN = [page for page in PAGES if any(block.kind == "console" for block in blocks(page))]
# These only look: what they show may take a moment to come true.
LOOKS = (" show ", " list", " status", " verify ")
PATIENCE_S = 60.0
WITH_CONTAINERS = {ROOT / "docs" / "sandboxes.md"}


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_page_says_what_is_printed(page: Path, tmp_path: Path, request: pytest.FixtureRequest):
    """Twice at most: where a machine stands still for seconds a desk says so, and no page does."""
    engine = request.getfixturevalue("desk_engine") if page in WITH_CONTAINERS else "none"
    try:
        _read(page, tmp_path / "once", engine=engine)
    except AssertionError:
        _read(page, tmp_path / "again", engine=engine)


def _read(page: Path, directory: Path, *, engine: str) -> None:
    names = Names()
    directory.mkdir()
    with serving(directory, engine=engine) as desk:
        for block in blocks(page):
            for step in steps(block) if block.kind == "console" else []:
                _check(step, desk, names, where=f"{name_of(page)}:{step.line}")


def _check(step: Step, desk: LiveDesk, names: Names, *, where: str) -> None:
    if step.command == "make run":  # that is what has been started
        assert names.match(step.expected, desk.said), _told(where, step, step.command, desk.said)
        return
    if step.command.startswith("export "):  # the reader's; the desk's environment has it
        assert step.expected.strip() == ""
        return
    command = names.translate(step.command)
    end = time.monotonic() + (PATIENCE_S if any(look in command for look in LOOKS) else 0)
    while True:
        done = desk.run(command)
        as_said = done.returncode == step.exit_code
        if as_said and names.match(step.expected, done.stdout):
            return
        assert time.monotonic() < end, _told(where, step, command, done.stdout, done.returncode)
        time.sleep(0.2)


def _told(where: str, step: Step, command: str, printed: str, code: int = 0) -> str:
    return (
        f"{where}: {command}\nthe page says (exit code {step.exit_code}):\n{step.expected}\n"
        f"it printed (exit code {code}):\n{printed}"
    )
