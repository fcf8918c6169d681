"""Brokers that are killed again and again, at random or at every point; the books must hold.

    python -m tests.crash.soak --runs 10000
    python -m tests.crash.soak --points --database postgres
    python -m tests.crash.soak --stack --runs 300

Exits with 1 at the first broken book, and says which trial it was: the same seed chooses the same.
Several are carried out at once, each in a directory and a database of its own, in memory.
"""

import argparse
import contextlib
import itertools
import os
import queue
import random
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copytree, rmtree

from tests.crash import scenario
from tests.crash.forking import Forker, Told, Trial, forker
from tests.crash.stack_soak import soak_stack
from tests.postgres import Server

NEVER = 1_000_000
DAY_US = 300_000
NIGHT_US = 120_000
"""How long the first life takes, and another, about."""
LIVES_MAX = 4
# A process that is killed loses nothing that it has written, synced or not.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
SKEWS_S = (0.0, 0.0, 0.0, -18_000.0, 18_000.0)


Kills = tuple[Sequence[int], float]
"""Where each life but the last is ended, and how far the clock is moved then, seconds."""


def at_random(runs: int, seed: int) -> Iterator[Kills]:
    """Kills of a few lives, by count or by time, and a clock that may have been moved."""
    choose = random.Random(seed)
    for _ in range(runs):
        lives = choose.randint(1, LIVES_MAX)
        kills = [
            choose.randint(1, 170 if life == 0 else 60)
            if choose.random() < 0.3
            else -choose.randint(1, DAY_US if life == 0 else NIGHT_US)
            for life in range(lives)
        ]
        yield kills, choose.choice(SKEWS_S)


@contextlib.contextmanager
def soaking(root: Path, server: Server | None = None, *, at_once: int = 1) -> Generator["Soak"]:
    """Trials of what is made once, with databases on the server where there is one."""
    made = root / "made"
    made.mkdir()
    with contextlib.ExitStack() as stack:
        template = ""
        if server is not None:
            template = stack.enter_context(server.database())
            (made / scenario.URL_FILE).write_text(server.url(template))
        scenario.make_once(made)
        soak = Soak(made=made, root=root, server=server, template=template)
        for _ in range(at_once):
            soak.take(stack.enter_context(forker()))
        yield soak


def main() -> int:
    """Carry the trials out."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--runs", type=int, default=200)
    reading.add_argument("--seed", type=int, default=1)
    reading.add_argument("--points", action="store_true", help="every point of the day, once")
    reading.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    reading.add_argument("--stack", action="store_true", help="kill any process of the full stack")
    reading.add_argument("--at-once", type=int, default=os.cpu_count() or 1)
    given = reading.parse_args()
    if given.stack:
        return soak_stack(kind=given.database, runs=given.runs, seed=given.seed)
    with contextlib.ExitStack() as stack:
        server = Server(beside=MEMORY) if given.database == "postgres" else None
        if server is not None:
            stack.callback(server.stop)
        root = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="callbroker-soak-", dir=MEMORY)
        )
        soak = stack.enter_context(soaking(Path(root), server, at_once=given.at_once))
        kills = soak.at_points() if given.points else at_random(given.runs, given.seed)
        return soak.run(kills)


@dataclass(kw_only=True)
class Soak:
    """Trials, as many at once as it has taken forkers, and what came of them.

    Attributes:
        made: the directory that each copies.
        root: where they are; what is left of one whose books are wrong stays there.
        template: the database that each copies; empty where the directory has it.
    """

    made: Path
    root: Path
    server: Server | None
    template: str
    done: int = 0
    killed: int = 0
    started_s: float = field(default_factory=time.monotonic)
    _forkers: list[Forker] = field(default_factory=list)
    _idle: "queue.SimpleQueue[Forker]" = field(default_factory=queue.SimpleQueue)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def take(self, one: Forker) -> None:
        """Have a forker, which is warmed up."""
        self._forkers.append(one)
        self._idle.put(one)
        told = self.trial([])
        assert not told.findings, told

    def run(self, kills: Iterable[Kills]) -> int:
        """All of them; 1 at the first whose books are wrong."""
        self.done, self.started_s = 0, time.monotonic()
        given, lock, broken = iter(kills), threading.Lock(), threading.Event()

        def work() -> None:
            while not broken.is_set():
                with lock:
                    each, skew_s = next(given, (None, 0.0))
                if each is None:
                    return
                told = self.trial(each, skew_s=skew_s)
                with lock:
                    self._count(told)
                    if told.findings:
                        kept = tempfile.mkdtemp(prefix="callbroker-broken-")
                        copytree(told.path, kept, dirs_exist_ok=True)
                        _say(f"broken: {each} moved by {skew_s} s, in {kept}", *told.findings)
                        broken.set()

        with ThreadPoolExecutor(len(self._forkers)) as threads:
            for one in [threads.submit(work) for _ in self._forkers]:
                one.result()
        _say(f"{self.told()}: {'a book does not hold' if broken.is_set() else 'all books hold'}")
        return int(broken.is_set())

    def trial(self, kills: Sequence[int], *, skew_s: float = 0.0, bug: str = "") -> Told:
        """One, of a broker that may have a planted bug."""
        path = self.root / f"trial-{next(self._numbers)}"
        one = self._idle.get()
        try:
            with self._database() as url:
                told = one.carry_out(
                    Trial(
                        path=str(path),
                        made=str(self.made),
                        kills=kills,
                        skew_s=skew_s,
                        bug=bug,
                        url=url,
                    )
                )
        finally:
            self._idle.put(one)
        if not told.findings:
            rmtree(path)
        return replace(told, path=str(path))

    def at_points(self) -> Iterator[Kills]:
        """Every point of the day."""
        for at in range(1, len(self.trial([NEVER]).passed) + 1):
            yield [at], 0.0

    def told(self) -> str:
        """How far it is."""
        took_s = time.monotonic() - self.started_s
        each_minute = self.done * 60 / took_s
        return (
            f"{self.done} trials, {self.killed} kills, {took_s:.0f} s, {each_minute:.0f} a minute"
        )

    def _count(self, told: Told) -> None:
        self.done += 1
        self.killed += sum(told.killed)
        if self.done % 100 == 0:
            _say(self.told())

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
