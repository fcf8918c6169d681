"""The support desk's story for pictures: the same broker, tools, rules and agents, at a fixed time.

Its two agents have played, and nineteen minutes have passed. What differs from one run to the next
is what nobody can say beforehand: the last digits of names.
"""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import structlog
from playwright.sync_api import StorageState

from broker import bootstrap, config
from broker.app import Application, system_clock
from broker.log import configure
from broker.sdk import connect
from broker.web_settings import Web
from examples.support_desk import agents, records
from examples.support_desk.agents import Answered
from examples.support_desk.operating import Operator
from tests.browser.provided_desk import LEADS, provide, working
from tests.browser.visiting import Visitor
from tests.e2e.guarded_shop import MovableClock
from tests.replay.running import Loop, until

BEGINNING = datetime(2026, 3, 6, 14, 20, tzinfo=UTC).timestamp()
LATER_S = 19 * 60


@contextlib.contextmanager
def pictured_desk(visitor: Visitor) -> Iterator[StorageState]:
    """Play the story; gives what a browser of the local reviewer keeps."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="desk-")))
        shop = directory / "shop.db"
        records.create(shop)
        stack.callback(structlog.configure, **structlog.get_config())
        configure(level="error")
        settings = config.Settings(
            listen="127.0.0.1:0",
            state=directory / "state",
            database=f"sqlite:///{directory}/state/callbroker.db",
            sources={"shop": config.Source(url=f"sqlite:///{shop}")},
            log_level="error",
            web=Web(listen="127.0.0.1:0", local_reviewer="support-lead-1", local_groups=(LEADS,)),
        )
        with ThreadPoolExecutor(1) as aside:
            token = aside.submit(bootstrap.operator_token, settings).result()
        loop = stack.enter_context(Loop())
        clock = MovableClock(ahead_s=BEGINNING - system_clock())
        application = Application(settings, clock=clock)
        loop.run(application.start())
        stack.callback(lambda: loop.run(application.stop()))
        operator = stack.enter_context(Operator(application.address, token))
        tokens = provide(operator, directory, rules="")
        worker = working(
            application.address,
            tokens["worker"],
            shop,
            "tests.browser.story_worker",
            STORY_AHEAD_S=str(clock.ahead_s),
        )
        stack.enter_context(worker)
        until(lambda: operator.workers() > 0, "no worker")
        loop.run(_play(application.address, tokens["host"], tokens["agent"]))
        assert application.pages is not None
        visitor.base_url = application.pages.url
        with visitor.page() as page:
            page.goto(application.pages.link)
            page.get_by_role("main").get_by_role("button").click()
            page.wait_for_url(lambda url: "/sign-in" not in url)
            clock.ahead_s += LATER_S
            yield page.context.storage_state()


async def _play(address: str, host: str, agent: str) -> None:
    async with connect(address, host_token=host, agent_token=agent) as broker:
        # Not closed: what waits for a person would be withdrawn with it.
        session = await broker.open_session(await agents.order_session(broker))
        await _through(agents.work(session))
        await _through(agents.obey_the_mail(broker, session))


async def _through(steps: AsyncIterator[Answered]) -> None:
    async for _ in steps:
        pass
