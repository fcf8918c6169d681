"""Figures for Prometheus, of a broker that serves: one route, on an address of its own."""

import http.client
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from broker.telemetry_settings import Metrics
from tests.e2e.guarded_shop import GuardedShop
from tests.e2e.opening import open_shop

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def shop() -> Iterator[GuardedShop]:
    with open_shop(metrics=Metrics(listen="127.0.0.1:0")) as opened:
        yield opened


def asked(shop: GuardedShop, method: str, path: str) -> tuple[int, str]:
    port = shop.application.metrics_port
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        line.request(method, path)
        answer = line.getresponse()
        return answer.status, answer.read().decode()
    finally:
        line.close()


def test_figures_say_how_the_broker_is_and_what_it_did(shop: GuardedShop):
    session = shop.session()
    shop.refund(session)
    shop.invoke(session, "no_such_tool", {})
    status, text = asked(shop, "GET", "/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    value = {name: family.samples[0].value for name, family in families.items() if family.samples}
    assert value["callbroker_policy_ready"] == 1
    assert value["callbroker_workers"] == 1
    assert value["callbroker_worker_slots"] == 256
    assert value["callbroker_audit_entries"] > 0
    assert value["callbroker_disk_free_bytes"] > 0
    assert value["process_resident_memory_bytes"] > 0
    assert {"ALLOW", "DENY"} == {
        sample.labels["effect"] for sample in families["callbroker_decisions"].samples
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/metrics/x", 404), ("POST", "/metrics", 405)],
)
def test_there_is_one_route_and_it_only_reads(
    shop: GuardedShop, method: str, path: str, status: int
):
    assert asked(shop, method, path)[0] == status
