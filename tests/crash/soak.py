"""Brokers that are killed again and again, at random or at every point; the books must hold.

    python -m tests.crash.soak --runs 10000
    python -m tests.crash.soak --points

Exits with 1 at the first broken book, and says which trial it was: the same seed makes the same.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree

from tests.crash import scenario
from tests.crash.forking import Trial, forker

NEVER = 1_000_000
DAY_US = 350_000
LIVES_MAX = 4
SKEWS_S = (0.0, 0.0, 0.0, -18_000.0, 18_000.0)


def at_random(runs: int, seed: int) -> Iterator[tuple[Sequence[int], float]]:
    """Kills of a few lives, by count or by time, and a clock that may have been moved."""
    choose = random.Random(seed)
    for _ in range(runs):
        lives = choose.randint(1, LIVES_MAX)
        kills = [
            choose.randint(1, 170) if choose.random() < 0.3 else -choose.randint(1, DAY_US)
            for _ in range(lives)
        ]
        yield kills, choose.choice(SKEWS_S)


def main() -> int:
    """Carry the trials out, one after the other."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--runs", type=int, default=200)
    reading.add_argument("--seed", type=int, default=1)
    reading.add_argument("--points", action="store_true", help="every point of the day, once")
    given = reading.parse_args()
    started_s, killed, done = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(prefix="callbroker-soak-") as root, forker() as one:
        made = Path(root) / "made"
        made.mkdir()
        scenario.make_once(made)
        trials: Iterator[tuple[Sequence[int], float]] = at_random(given.runs, given.seed)
        if given.points:
            day = Trial(path=f"{root}/day", made=str(made), kills=[NEVER])
            points = one.carry_out(day).passed
            trials = (([at], 0.0) for at in range(1, len(points) + 1))
        for number, (kills, skew_s) in enumerate(trials):
            path = Path(root) / f"trial-{number}"
            trial = Trial(path=str(path), made=str(made), kills=kills, skew_s=skew_s)
            told = one.carry_out(trial)
            done += 1
            killed += sum(told.killed)
            if told.findings:
                _say(f"broken: {trial}", *told.findings)
                return 1
            rmtree(path)
            if done % 100 == 0:
                _say(f"{done} trials, {killed} kills, {time.monotonic() - started_s:.0f} s")
    _say(f"{done} trials, {killed} kills, all books hold, {time.monotonic() - started_s:.0f} s")
    return 0


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
