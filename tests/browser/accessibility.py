"""Whether everybody can use a page, as far as axe-core can tell: WCAG 2.2 A and AA."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
_OPTIONS = {
    "runOnly": {"type": "tag", "values": RULES},
    "rules": {"target-size": {"enabled": True}},  # of 2.2, and off unless it is asked for
    "resultTypes": ["violations"],
}


def violations(page: Page) -> list[dict[str, Any]]:
    """What axe-core finds wrong in the page as it is now; scripts have to run in it."""
    page.evaluate(AXE_SCRIPT)
    result = page.evaluate("options => axe.run(document, options)", _OPTIONS)
    return list(result["violations"])


def assert_accessible(page: Page) -> None:
    """Raise AssertionError that names each rule that is broken, and where."""
    found = [
        f"{broken['id']} ({broken['impact']}): {node['html'][:200]}\n  {node['failureSummary']}"
        for broken in violations(page)
        for node in broken["nodes"]
    ]
    assert not found, f"{page.url}\n" + "\n".join(found)
