"""Runs the parts of the tests side by side, as many as there are processors, at most two.

    python -m tests.lanes [--seed N] [--lanes N] [PART...]

A part is a process of pytest under `tests.keeper`, which ends when this one does, however that
ended, with all that it has started. One part alone speaks as it goes; of several each has a line
when it begins, now and then, and when it is done, and what a failed one said is shown whole. The
exit code judges tests, and what hangs; a budget not kept is told, loudly, and judges nobody.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from tests import keeper
from tests.engine_api import EXISTING
from tests.parts import LANES_MAX, PARTS, ROOT, Part, longest_first

SEEDS: Final = 2**32
SLOWEST_SHOWN: Final = 10
HOW_FAR_INTERVAL_S: Final = 120.0
_COUNTS: Final = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in \d", re.MULTILINE)
_WORKED: Final = re.compile(rf"^{re.escape(keeper.WORKED)}(\d+)$", re.MULTILINE)
_FAR: Final = re.compile(r"\[ *(\d+%)\]$", re.MULTILINE)
_SLOW: Final = re.compile(r"^(\d+\.\d+)s (?:call|setup|teardown) +.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a part went."""

    part: Part
    code: int
    took_s: float
    said: str = ""

    @property
    def over(self) -> bool:
        """Whether it took longer than its budget."""
        return self.took_s > self.part.budget_s

    def left(self) -> list[str]:
        """Tells of processes that outlived their tests."""
        return [line for line in self.said.splitlines() if line.startswith(keeper.LEFT)]

    def line(self) -> str:
        """Name, passed, seconds, budget."""
        word = "ok" if self.code == 0 else "HUNG" if self.code == keeper.HUNG else "FAILED"
        counts, worked = _last(_COUNTS, self.said), _last(_WORKED, self.said) or "?"
        spent = f"{self.took_s:5.0f} s of {self.part.budget_s:4} s, {worked:>4} s of processors"
        over = "   OVER BUDGET" if self.over else ""
        return f"{self.part.name:<11} {word:<8} {spent}   {counts}{over}"


def main(arguments: Sequence[str]) -> int:
    """Runs the parts named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.lanes", description="Runs the tests.")
    names = [part.name for part in PARTS]
    parser.add_argument("part", nargs="*", help=f"of {', '.join(names)}; all where none is named")
    parser.add_argument("--seed", type=int, default=random.randrange(SEEDS))
    parser.add_argument("--lanes", type=int, default=lanes_here())
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.part) - set(names)):
        parser.error(f"{unknown[0]} is no part: {', '.join(names)}")
    wanted = [part for part in PARTS if not given.part or part.name in given.part]
    return run(wanted, lanes=max(1, given.lanes), seed=given.seed)


def lanes_here() -> int:
    """One for each processor that this process may use, two at most; one where all share an engine.

    Some tests look at all that their engine has, and nobody else's containers may be among it.
    """
    if os.environ.get(EXISTING):
        return 1
    return min(LANES_MAX, len(os.sched_getaffinity(0)))


def run(parts: Sequence[Part], *, lanes: int, seed: int) -> int:
    """Runs these parts; 0 where all tests passed, 130 where it was told to stop."""
    begun_s = time.monotonic()
    try:
        done = asyncio.run(_Run(parts, seed).all(lanes))
    except asyncio.CancelledError:
        _tell("stopped")
        return keeper.STOPPED
    _conclude(done, time.monotonic() - begun_s, seed)
    return 0 if all(each.code == 0 for each in done) else 1


class _Run:
    """The parts that wait, and those that are done."""

    def __init__(self, parts: Sequence[Part], seed: int) -> None:
        self._waiting = deque(longest_first(parts))
        self._alone = len(parts) == 1
        self._seed = seed
        self._done: list[Done] = []

    async def all(self, lanes: int) -> list[Done]:
        """Returns when the last is done; the first signal stops all of them."""
        loop, told = asyncio.get_running_loop(), asyncio.current_task()
        assert told is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, told.cancel)
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(self._lane())
        return self._done

    async def _lane(self) -> None:
        while self._waiting:
            part = self._waiting.popleft()
            if self._alone:
                done = await _part(part, self._seed, None)
            else:
                _tell(f"{part.name:<11} begins")
                with tempfile.TemporaryFile() as output:  # nameless: nobody has to remove it
                    done = await _part(part, self._seed, output)
            self._done.append(done)
            for line in [done.said] if done.code != 0 else done.left():
                _tell(line)
            _tell(done.line())


async def _part(part: Part, seed: int, output: BinaryIO | None) -> Done:
    """Runs one; what it says is kept in `output`, or goes where this process' own does."""
    begun_s = time.monotonic()
    kept = await asyncio.create_subprocess_exec(
        *_kept(part), *_command(part, seed),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,  # it ends with this process
        stdout=output,
        stderr=output,
        start_new_session=True,  # Ctrl-C is ours to hear
    )  # fmt: skip
    ending = asyncio.ensure_future(kept.wait())
    try:
        while not (await asyncio.wait({ending}, timeout=HOW_FAR_INTERVAL_S))[0]:
            if output is not None:
                far = _last(_FAR, _read(output)) or "0%"
                _tell(f"{part.name:<11} {far:<8} {time.monotonic() - begun_s:5.0f} s")
    except asyncio.CancelledError:
        assert kept.stdin is not None
        kept.stdin.close()
        await ending
        raise
    code = ending.result()
    said = "" if output is None else _read(output)
    return Done(part=part, code=code, took_s=time.monotonic() - begun_s, said=said)


def _last(pattern: re.Pattern[str], said: str) -> str:
    return next(reversed(pattern.findall(said)), "")


def _read(output: BinaryIO) -> str:
    """All that was said; not by reading on, for whoever writes shares the place in the file."""
    handle = output.fileno()
    return os.pread(handle, os.fstat(handle).st_size, 0).decode("utf-8", "replace")


def _kept(part: Part) -> list[str]:
    patience = map(str, (part.limit_s, keeper.QUIET_S, keeper.TIDY_S))
    return [sys.executable, "-u", keeper.__file__, *patience]


def _command(part: Part, seed: int) -> list[str]:
    settings = [f"--randomly-seed={seed}", f"--durations={SLOWEST_SHOWN}"]
    settings += ["-p", "no:cacheprovider"]  # two parts would write one cache
    where = [f"--rootdir={ROOT}", f"--config-file={ROOT / 'pyproject.toml'}"]
    left_out = [f"--ignore={path}" for path in part.left_out]
    return [sys.executable, "-u", "-m", "pytest", "-q", *where, *settings, *left_out, *part.paths]


def _conclude(done: Sequence[Done], took_s: float, seed: int) -> None:
    slow = [match for each in done for match in _SLOW.finditer(each.said)]
    slow.sort(key=lambda match: -float(match[1]))
    for match in slow[:SLOWEST_SHOWN]:
        _tell(match[0])
    over = [each.part.name for each in done if each.over]
    if over:
        _tell(f"OVER BUDGET: {', '.join(over)} (this machine was slow, or what they test is)")
    bad = [each.part.name for each in done if each.code != 0]
    outcome = f"failed: {', '.join(bad)}" if bad else "all passed"
    _tell(f"{len(done)} parts in {took_s / 60:.1f} minutes, order {seed}; {outcome}")


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - that is what this is for


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
