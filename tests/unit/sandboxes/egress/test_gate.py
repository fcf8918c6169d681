"""A gate lets through what the call may ask for, notes all of it, and leaves nothing behind."""



from sandboxes.egress.journal import EgressRequest
from tests.outside_world import HOST, egress, gate, origin, outside, rule


async def test_what_is_on_the_list_passes_and_is_noted(tmp_path):
    async with origin() as host:
        way_out = egress(rule(host.port, path="/v1/items", methods=("POST",)))
        async with gate(tmp_path, way_out, outside()) as tool:
            url = f"https://{HOST}:{host.port}/v1/items"
            answer = await tool.fetch(url, "POST", {"Content-Type": "text/plain"}, b"four")
            requests, is_cut = await tool.gate.close()
    assert (answer.status, answer.body) == (200, b'{"ok":true}')
    assert (host.asked[0].line, host.asked[0].body) == ("POST /v1/items HTTP/1.1", b"four")
    assert host.asked[0].headers["content-type"] == "text/plain"
    assert not is_cut
    assert requests == (
        EgressRequest(
            at=1_700_000_000.0,
            method="POST",
            host=HOST,
            port=host.port,
            path="/v1/items",
            address="127.0.0.1",
            allowed=True,
            response_code=200,
            sent_bytes=4,
            received_bytes=11,
        ),
    )
