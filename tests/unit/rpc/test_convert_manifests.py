"""However many tools are in force, an answer stays below what a message may be."""

from broker.core.limits import MESSAGE_BYTES_MAX
from broker.core.manifest import parse
from broker.rpc.convert_manifests import MANIFESTS, manifests_page, warnings_out
from broker.rpc.paging import cursor_of
from broker.v1 import admin_pb2
from tests.world import REFUND


def manifests(count):
    return [parse({**REFUND, "name": f"tool_{number:05}"}) for number in range(count)]


def test_all_tools_come_page_after_page_each_once_and_each_page_is_a_message():
    every = manifests(2_500)
    seen, after = [], ""
    while True:
        page = manifests_page([m for m in every if m.name > after], {"tool_00001": 3})
        answer = admin_pb2.ListManifestsResponse(
            manifests=page.items, next_page_token=page.next_page_token
        )
        assert answer.ByteSize() < MESSAGE_BYTES_MAX / 1.5
        seen += page.items
        if not page.next_page_token:
            break
        after = cursor_of(page.next_page_token, listing=MANIFESTS)
    assert [m.name for m in seen] == [m.name for m in every]
    assert [m.workers for m in seen[:3]] == [0, 3, 0]


def test_few_tools_are_one_page():
    assert manifests_page(manifests(3), {}).next_page_token == ""
    assert manifests_page([], {}).items == ()


def test_warnings_are_as_many_as_fit_beside_them():
    told = warnings_out(["ä" * 1_000] * 1_000)
    assert 200 < len(told) < 300
    assert warnings_out(["x" * 10_000_000]) == ("x" * 10_000_000,)
