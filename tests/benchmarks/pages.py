"""How long reviewers wait for pages, and what open pages cost whoever has calls decided.

The pages are looked at by Chromium, on a broker with a queue of QUEUE and a past of PAST holds.
What open pages cost is measured in turns, a block of calls with them open and a block without, so
that whatever else the machine does falls on both.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import BrowserContext

from broker.app import system_clock
from broker.sdk import Succeeded
from tests.benchmarks.open_pages import EACH
from tests.benchmarks.paged_desk import ROOT, PagedDesk, paged_desk
from tests.browser.chromium import running_chromium
from tests.browser.visiting import first_paint_ms

QUEUE, PAST, OPEN = 500, 10_000, 200
TIMES = 11
BLOCKS, CALLS, AFTER = 9, 20, 5
PAINT_MS, LIVE_MS, SLOWER = 300.0, 500.0, 1.2

# When a row came in, by the clock that whoever asks for the call reads too.
_WATCH = """() => {
  window.came = {};
  new MutationObserver((changes) => {
    for (const change of changes)
      for (const row of change.addedNodes)
        if (row.dataset?.name) window.came[row.dataset.name] = Date.now() / 1000;
  }).observe(document.getElementById("rows"), { childList: true });
}"""


def main() -> None:
    """Measure and print; fails nothing: a clock says as much about the machine."""
    with (
        tempfile.TemporaryDirectory(prefix="cb-") as directory,
        paged_desk(Path(directory), past=PAST, sign_ins=1 + OPEN // EACH) as desk,
    ):
        with _browsing(desk) as context:
            held = [desk.hold() for _ in range(QUEUE)]
            hold = f"/holds/{_first(context)}"
            _say(f"pages: p50 and the slowest of {TIMES}, {QUEUE} holds waiting, {PAST} decided")
            # What the browser itself takes on this machine now: nothing is looked up for this page.
            _tell("first paint, the way in", _paints(context, "/sign-in"), goal_ms=PAINT_MS)
            paints = {f"first paint, queue of {QUEUE}": "/", "first paint, one hold": hold}
            for what, path in paints.items():
                _tell(what, _paints(context, path), goal_ms=PAINT_MS)
            _tell("a new hold in an open page", _live(context, desk), goal_ms=LIVE_MS)
            for path in _past(context):
                _tell(f"first paint, {path}", _paints(context, path), goal_ms=PAINT_MS)
            del held
        _compare(desk)


@contextlib.contextmanager
def _browsing(desk: PagedDesk) -> Iterator[BrowserContext]:
    with running_chromium() as browser:
        context = browser.new_context(base_url=desk.pages, viewport={"width": 1280, "height": 800})
        context.add_cookies([{"name": "callbroker", "value": desk.cookies[-1], "url": desk.pages}])
        yield context


def _first(context: BrowserContext) -> str:
    page = context.new_page()
    page.goto("/")
    assert page.locator("#rows .row").count() == QUEUE
    name = str(page.locator("#rows .row").nth(QUEUE // 2).get_attribute("data-name"))
    page.close()
    return name.removeprefix("holds/")


def _paints(context: BrowserContext, path: str) -> list[float]:
    """Milliseconds of opening a page, each time in a tab of its own; the first is not counted."""
    taken = []
    for _ in range(TIMES + 1):
        page = context.new_page()
        answer = page.goto(path)
        assert answer is not None, path
        assert answer.ok, path
        taken.append(first_paint_ms(page))
        page.close()
    return taken[1:]


def _live(context: BrowserContext, desk: PagedDesk) -> list[float]:
    """Milliseconds from asking for a call until its row is there: its decision is among them."""
    page = context.new_page()
    with page.expect_response("**/live"):
        page.goto("/")
    page.evaluate(_WATCH)
    taken = []
    for number in range(TIMES):
        begun = system_clock()
        desk.hold()
        page.wait_for_function("n => Object.keys(window.came).length > n", arg=number)
        came = page.evaluate("Math.max(...Object.values(window.came))")
        taken.append((float(came) - begun) * 1000)
    page.close()
    return taken


def _past(context: BrowserContext) -> list[str]:
    """What there is to browse: pages of the navigation, the second page of history, one session."""
    page = context.new_page()
    page.goto("/")
    links = page.locator("header nav a").evaluate_all("all => all.map((a) => a.pathname)")
    found = [path for path in dict.fromkeys(links) if path != "/"]
    page.goto("/history")
    for one in ("a[href*='before=']", "main a[href^='/holds/']"):
        at = page.locator(one)
        if at.count():
            found.append(str(at.first.get_attribute("href")))
    page.close()
    return found


def _compare(desk: PagedDesk) -> None:
    session = desk.open_session()

    def call() -> float:
        begun = time.perf_counter()
        outcome = session.invoke("search_articles", {"words": "lamp"})
        assert isinstance(outcome, Succeeded), outcome
        return (time.perf_counter() - begun) * 1000

    def right_after() -> float:
        desk.hold()
        return call()

    for what, one, calls in (
        (f"a call beside {OPEN} open pages", call, CALLS),
        ("a call right after a held one", right_after, AFTER),
    ):
        ratios, alone, beside = _in_turns(desk, one, calls)
        ratio = statistics.median(ratios)
        verdict = "met" if ratio <= SLOWER else "MISSED"
        _say(
            f"{what:<34}{beside:6.1f} ms   without them {alone:.1f} ms   "
            f"median of pairs {ratio:.2f}   goal {SLOWER}  {verdict}"
        )


def _in_turns(
    desk: PagedDesk, call: Callable[[], float], calls: int
) -> tuple[list[float], float, float]:
    """Ratio of each pair of blocks, and the medians of all calls without and with open pages."""
    alone: list[float] = []
    beside: list[float] = []
    call()
    for number in range(BLOCKS):
        pair: dict[bool, list[float]] = {}
        for are_open in (True, False) if number % 2 else (False, True):
            with _open(desk) if are_open else contextlib.nullcontext():
                pair[are_open] = [call() for _ in range(calls)]
        alone += pair[False]
        beside += pair[True]
    ratios = [
        statistics.median(beside[at : at + calls]) / statistics.median(alone[at : at + calls])
        for at in range(0, BLOCKS * calls, calls)
    ]
    return ratios, statistics.median(alone), statistics.median(beside)


@contextlib.contextmanager
def _open(desk: PagedDesk) -> Iterator[None]:
    """OPEN pages, in a process of their own."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.open_pages", desk.pages, str(OPEN)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(" ".join(desk.cookies) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "READY\n"
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(timeout=60)


def _tell(what: str, taken: list[float], *, goal_ms: float) -> None:
    middle = statistics.median(taken)
    verdict = "met" if middle <= goal_ms else "MISSED"
    _say(f"{what:<34}{middle:6.0f} ms{max(taken):8.0f} ms   goal {goal_ms:.0f} ms  {verdict}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
