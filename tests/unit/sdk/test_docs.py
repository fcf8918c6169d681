import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from broker import sdk
from broker.sdk.testing import ScriptedBroker, failed, permitted, unknown

PAGE = Path(__file__).parents[3] / "docs" / "sdk.md"


@pytest.fixture(scope="module")
def page() -> Any:
    """All blocks of the page as one module, which is how a reader would paste them."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    module = ModuleType("sdk_page")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile("\n".join(blocks), str(PAGE), "exec"), module.__dict__)
        yield module
    finally:
        del sys.modules[module.__name__]


async def test_the_pages_own_tests_pass(page: ModuleType, tmp_path: Path) -> None:
    tests: list[Callable[..., Any]] = [
        value for name, value in vars(page).items() if name.startswith("test_")
    ]
    assert len(tests) == 6
    for test in tests:
        given = {"tmp_path": tmp_path} if "tmp_path" in inspect.signature(test).parameters else {}
        if inspect.isawaitable(run := test(**given)):
            await run


async def test_the_pages_agent_handles_every_outcome(page: ModuleType) -> None:
    for broker, told in (
        (ScriptedBroker().hold("refund", "A person decides."), "parked invocations/i-1"),
        (ScriptedBroker().answer("refund", unknown()), "handed over invocations/i-1"),
        (ScriptedBroker().answer("refund", failed("A", "No.")), "Failed: No. Nothing took effect."),
    ):
        assert await page.serve(broker, "Refund it.", {}) == told


async def test_the_pages_tool_is_executed_in_this_process(page: ModuleType) -> None:
    broker = ScriptedBroker().answer("close_tab", permitted())
    mandate = await broker.create_mandate(principal="customers/c-204", agent="agents/support")
    session = await broker.open_session(mandate)
    closed = await page.close(session, "t-1", "call-1")
    assert (closed.result, closed.reported_by) == ({"closed": "Invoices"}, "agent")
    page.tabs["t-1"] = "Invoices"
    assert (await page.close_by_hand(session, "t-1")).result == {"closed": "Invoices"}
    assert (await page.close(session, "t-9", "call-2")).code == "NO_SUCH_TAB"


def test_every_name_in_code_style_exists() -> None:
    text = PAGE.read_text()
    errors = re.findall(r"`([A-Z][a-z]+[A-Za-z]+)`", text)
    names = {name for name in errors if name != "ScriptedBroker"}
    assert names
    assert not {name for name in names if not hasattr(sdk, name)}
