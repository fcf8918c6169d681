"""A process that has imported everything and forks one child for each life: killed, then counted.

    python -m tests.crash.forking

Reads one JSON object a line, a `Trial`, and answers with one, what came of it. It has one thread
and no event loop of its own, so that a fork of it is as good as a fresh process. Its first trial it
lives itself, unharmed: what that has compiled and cached every child has from its birth.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from broker.log import configure
from tests.crash import books, planted, scenario
from tests.crash.points import Points

LIFE_S = 60
FINDINGS = "findings.json"
PASSED = "passed.json"
ERROR = "error.txt"
ROOT = Path(__file__).parents[2]

Life = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Lives of a broker over one directory, each killed but the last.

    Attributes:
        kills: for each life but the last the point at which it ends, from 1; where negative, so
            many microseconds after its beginning instead. The first life is the day itself, all
            others recover.
        skew_s: how far the clock is moved at the last life, seconds.
        bug: the name of a planted bug; empty for none.
        url: of a PostgreSQL database that is a copy of the made one; empty for SQLite.
    """

    path: str
    made: str
    kills: Sequence[int] = ()
    skew_s: float = 0.0
    bug: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of a trial.

    Attributes:
        findings: every sentence that is wrong.
        killed: whether each life was ended by its kill.
        passed: the points of the last life but one that ended by itself, or of the last.
        path: its directory, which is gone unless something is wrong.
    """

    findings: list[str]
    killed: list[bool]
    passed: list[str] = field(default_factory=list)
    path: str = ""


def warm_up(trial: Trial) -> Told:
    """Live a trial that has no kills in this very process, and leave nothing of it but caches."""
    path = Path(trial.path)
    scenario.copy(Path(trial.made), path, url=trial.url)
    asyncio.run(_lived(path, trial, 0, kill=0))
    asyncio.run(_counted(path, trial))
    if threading.active_count() > 1:
        raise AssertionError(f"A fork would lose threads: {threading.enumerate()}")
    gc.collect()
    gc.freeze()  # a child's collector would copy every page of it
    return Told(findings=json.loads((path / FINDINGS).read_text()), killed=[])


def carry_out(trial: Trial) -> Told:
    """All lives of a trial, one after the other."""
    path = Path(trial.path)
    scenario.copy(Path(trial.made), path, url=trial.url)
    killed: list[bool] = []
    for number, kill in enumerate(trial.kills):
        ended = _life(path, lambda k=kill, n=number: _lived(path, trial, n, kill=k), kill=kill)
        killed.append(ended == -signal.SIGKILL)
        if ended not in {0, -signal.SIGKILL}:
            return Told(findings=[_said(path, ended)], killed=killed)
    ended = _life(path, lambda: _counted(path, trial))
    if ended:
        return Told(findings=[_said(path, ended)], killed=killed)
    found = json.loads((path / FINDINGS).read_text())
    passed = path / PASSED
    return Told(
        findings=found,
        killed=killed,
        passed=json.loads(passed.read_text()) if passed.exists() else [],
    )


async def _lived(path: Path, trial: Trial, number: int, *, kill: int) -> None:
    points = Points(kill_at=max(kill, 0))
    now = scenario.NEXT_DAY + 100.0 * number if number else scenario.NOW
    change = planted.BUGS.get(trial.bug)
    owner = f"brokers/{number + 1}"
    async with scenario.day(path, points, owner=owner, now=now, change=change) as one:
        await (scenario.settle(one) if number else scenario.live(one))
        written = path / f"{PASSED}.new"  # whole or not at all: the kill may come just now
        written.write_text(json.dumps(points.passed))
        written.replace(path / PASSED)


async def _counted(path: Path, trial: Trial) -> None:
    number = len(trial.kills)
    now = scenario.NEXT_DAY + 100.0 * number + trial.skew_s
    change = planted.BUGS.get(trial.bug)
    owner = f"brokers/{number + 1}"
    async with scenario.day(path, Points(), owner=owner, now=now, change=change) as one:
        await scenario.settle(one)
        await scenario.go_on(one)
        (path / FINDINGS).write_text(json.dumps(await books.findings(one)))


def _life(path: Path, work: Life, *, kill: int = 0) -> int:
    """Fork, live, and say how it ended: 0, an exit code, or a negative signal."""
    child = os.fork()
    if child == 0:
        _be(path, work, kill)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGABRT))
    signal.alarm(LIFE_S)
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    return os.waitstatus_to_exitcode(status)


def _be(path: Path, work: Life, kill: int) -> None:
    code = 3
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if kill < 0:
            _kill_after_us(-kill)
        asyncio.run(work())
        code = 0
    except BaseException:  # noqa: BLE001 - it is told, and there is nobody above
        (path / ERROR).write_text(traceback.format_exc())
    finally:
        os._exit(code)


def _kill_after_us(microseconds: int) -> None:
    """By another process, so that it strikes wherever this one is."""
    victim = os.getpid()
    if os.fork():
        return
    time.sleep(microseconds / 1e6)  # not an alarm, which may come before anybody waits for it
    if os.getppid() == victim:
        os.kill(victim, signal.SIGKILL)
    os._exit(0)


def _said(path: Path, ended: int) -> str:
    error = path / ERROR
    return f"it ended with {ended}: {error.read_text() if error.exists() else 'without a word'}"


class Forker:
    """The process, as its parent has it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.forking"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def carry_out(self, trial: Trial) -> Told:
        """A trial; the next one waits for it."""
        sending, receiving = self._pipes()
        sending.write(json.dumps(asdict(trial)).encode() + b"\n")
        sending.flush()
        return Told(**json.loads(receiving.readline()))

    def close(self) -> None:
        """End it."""
        sending, receiving = self._pipes()
        sending.close()
        self._process.wait(timeout=LIFE_S)
        receiving.close()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


@contextlib.contextmanager
def forker() -> Iterator[Forker]:
    """One, while the block runs."""
    one = Forker()
    try:
        yield one
    finally:
        one.close()


def main() -> None:
    """Serve until the other side is gone."""
    configure(level="error")
    work = warm_up
    for line in sys.stdin.buffer:
        told = work(Trial(**json.loads(line)))
        work = carry_out
        sys.stdout.buffer.write(json.dumps(asdict(told)).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
