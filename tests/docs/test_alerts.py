"""Each alert is over figures that there are, and leads to a page that says what to do."""

import re
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from prometheus_client import CollectorRegistry, Counter

from broker.telemetry.counting import CountedSpans, Counting
from broker.telemetry.gauges import Gauges
from broker.telemetry.tally import Tally
from tests.docs.pages import ROOT, sections

RULES = ROOT / "examples" / "operate" / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
OPERATE = ROOT / "docs" / "operate.md"
WITHOUT_AN_ALERT = {"log-not-verified.md"}  # of a timer: examples/operate
NAME = re.compile(r"\bcallbroker_[a-z_]+")
WAIT = re.compile(r"\d+[smhd]")


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    assert set(group) == {"name", "rules"}
    return list(group["rules"])


def _figures() -> dict[str, set[str]]:
    """Each name with the labels that it may have."""
    registry = CollectorRegistry()
    Counting(registry, control=cast("Any", None))
    Gauges(registry, cast("Any", None))
    Counter("callbroker_looks_failed", "", registry=registry)
    found = {}
    for name, collector in registry._names_to_collectors.items():
        found[name] = set(cast("Any", collector)._labelnames)
    for family in CountedSpans(Tally()).collect():
        found[f"{family.name}_total"] = set(cast("Any", family)._labelnames)
    return found


ALERTS = _rules()


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_is_whole_and_over_figures_that_there_are(rule: dict[str, Any]):
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["annotations"]) == {"summary", "runbook_url"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert WAIT.fullmatch(rule["for"])
    for pair in ("()", "[]", "{}"):
        assert rule["expr"].count(pair[0]) == rule["expr"].count(pair[1])
    named = NAME.findall(rule["expr"])
    assert named or rule["expr"].startswith("up{")
    figures = _figures()
    assert [name for name in named if name not in figures] == []
    labels = {label for name in named for label in figures[name]} | {"instance"}
    for grouped in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        assert set(grouped.split(", ")) <= labels
    told = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
    assert set(told) <= labels


def test_alerts_are_named_once():
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)


def test_every_alert_has_a_page_and_every_page_an_alert():
    urls = {rule["annotations"]["runbook_url"] for rule in ALERTS}
    assert [url for url in urls if not (ROOT / url).is_file()] == []
    pages = {page.name for page in RUNBOOKS.glob("*.md")}
    assert pages - {Path(url).name for url in urls} == WITHOUT_AN_ALERT


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.name)
def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_do(page: Path):
    parts = sections(page)
    assert list(parts) == ["What it means", "What to look at", "What to do"]
    assert all(part.strip() for part in parts.values())


def test_the_operators_page_tells_every_figure():
    told = set(NAME.findall(sections(OPERATE)["Figures"]))
    ours = {name for name in _figures() if not name.endswith(("_created", "_bucket", "_sum"))}
    ours = {name for name in ours if f"{name}_total" not in ours and not name.endswith("_count")}
    assert sorted(ours - told) == []
