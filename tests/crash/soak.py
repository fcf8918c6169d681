"""Brokers that are killed again and again, at random or at every point; the books must hold.

    python -m tests.crash.soak --runs 10000
    python -m tests.crash.soak --points --database postgres

Exits with 1 at the first broken book, and says which trial it was: the same seed makes the same.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

from tests.crash import scenario
from tests.crash.forking import Forker, Told, Trial, forker
from tests.postgres import Server

NEVER = 1_000_000
DAY_US = 350_000
LIVES_MAX = 4
SKEWS_S = (0.0, 0.0, 0.0, -18_000.0, 18_000.0)


Kills = tuple[Sequence[int], float]
"""Where each life but the last is ended, and how far the clock is moved then, seconds."""


def at_random(runs: int, seed: int) -> Iterator[Kills]:
    """Kills of a few lives, by count or by time, and a clock that may have been moved."""
    choose = random.Random(seed)
    for _ in range(runs):
        lives = choose.randint(1, LIVES_MAX)
        kills = [
            choose.randint(1, 170) if choose.random() < 0.3 else -choose.randint(1, DAY_US)
            for _ in range(lives)
        ]
        yield kills, choose.choice(SKEWS_S)


@contextlib.contextmanager
def soaking(root: Path, server: Server | None = None) -> Generator["Soak"]:
    """Trials of what is made once, with databases on the server where there is one."""
    made = root / "made"
    made.mkdir()
    with contextlib.ExitStack() as stack:
        template = ""
        if server is not None:
            template = stack.enter_context(server.database())
            (made / scenario.URL_FILE).write_text(server.url(template))
        scenario.make_once(made)
        one = stack.enter_context(forker())
        yield Soak(one=one, made=made, root=root, server=server, template=template)


def main() -> int:
    """Carry the trials out, one after the other."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--runs", type=int, default=200)
    reading.add_argument("--seed", type=int, default=1)
    reading.add_argument("--points", action="store_true", help="every point of the day, once")
    reading.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    given = reading.parse_args()
    server = Server() if given.database == "postgres" else None
    with contextlib.ExitStack() as stack:
        if server is not None:
            stack.callback(server.stop)
        root = stack.enter_context(tempfile.TemporaryDirectory(prefix="callbroker-soak-"))
        soak = stack.enter_context(soaking(Path(root), server))
        kills = soak.at_points() if given.points else at_random(given.runs, given.seed)
        return soak.run(kills)


@dataclass(kw_only=True)
class Soak:
    """Trials, one after the other, and what came of them.

    Attributes:
        made: the directory that each copies.
        root: where they are; what is left of one whose books are wrong stays there.
        template: the database that each copies; empty where the directory has it.
    """

    one: Forker
    made: Path
    root: Path
    server: Server | None
    template: str
    done: int = 0
    killed: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def run(self, kills: Iterable[Kills]) -> int:
        """All of them; 1 at the first whose books are wrong."""
        for each, skew_s in kills:
            told = self.trial(each, skew_s=skew_s)
            self.killed += sum(told.killed)
            if told.findings:
                _say(f"broken: {each} moved by {skew_s} s", *told.findings)
                return 1
            if self.done % 100 == 0:
                _say(self.told())
        _say(f"{self.told()}: all books hold")
        return 0

    def trial(self, kills: Sequence[int], *, skew_s: float = 0.0, bug: str = "") -> Told:
        """One, of a broker that may have a planted bug."""
        self.done += 1
        path = self.root / f"trial-{self.done}"
        with self._database() as url:
            told = self.one.carry_out(
                Trial(
                    path=str(path),
                    made=str(self.made),
                    kills=kills,
                    skew_s=skew_s,
                    bug=bug,
                    url=url,
                )
            )
        if not told.findings:
            rmtree(path)
        return told

    def at_points(self) -> Iterator[Kills]:
        """Every point of the day."""
        for at in range(1, len(self.trial([NEVER]).passed) + 1):
            yield [at], 0.0

    def told(self) -> str:
        """How far it is."""
        took_s = time.monotonic() - self.started_s
        return f"{self.done} trials, {self.killed} kills, {took_s:.0f} s"

    @contextlib.contextmanager
    def _database(self) -> Iterator[str]:
        """The address of a trial's own; empty where its directory has it."""
        if self.server is None:
            yield ""
            return
        with self.server.database(self.template) as name:
            yield self.server.url(name)


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
