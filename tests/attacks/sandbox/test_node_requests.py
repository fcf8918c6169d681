"""Whoever may speak to a node asks for what it does not give: more than a fixed verb, or garbage.

Its aim is a container of its own making, or a node that stumbles. Each request is one clear refusal
with a reason, nothing runs, and the next caller is served.
"""

import asyncio
import contextlib

import grpc
import pytest

from sandboxes.v1 import sandboxes_pb2 as pb
from tests.engine_api import ContainerEngine
from tests.sandbox_images import image_with, tool_image
from tests.sandbox_nodes import NodeClient, Turned, ask, turned

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOBODY = "sha256:" + "0" * 64
NO_IMAGES = {
    "a tag": "python:3.12",
    "a tag of ours": "callbroker-test-sandbox:root",
    "a registry's digest": f"example.com/tool@{NOBODY}",
    "a short id": "sha256:0123456789ab",
    "capitals": NOBODY.replace("0", "A"),
    "a line after it": f"{NOBODY}\n",
    "a way up": "../../containers/json",
    "nothing": "",
}
UNFIT = {
    "VOLUME": ('VOLUME ["/data"]', "volume"),
    "HEALTHCHECK": ("HEALTHCHECK CMD /bin/true", "HEALTHCHECK"),
    "root": ("USER root", "root"),
    "an odd WORKDIR": ("WORKDIR /proc/self/fd/7", "WORKDIR"),
    "another entry point": ('ENTRYPOINT ["/bin/sh"]', "ENTRYPOINT"),
    "a loader's variable": ("ENV LD_PRELOAD=/x.so", "LD_PRELOAD"),
}
INPUTS = {
    "no object": b"[1]",
    "no JSON": b"{",
    "nothing": b"",
    "NUL": b"\x00",
    "200,000 arrays": b"[" * 200_000,
    "over a megabyte": b'{"a":"' + b"x" * (1 << 20) + b'"}',
}
NAMES = ("../x", "/etc/passwd", ".hidden", "a/b", "a\\b", "a\nb", "", "x" * 129, "con", "a\u202eb")


@pytest.fixture(scope="module")
def honest(container_engine: ContainerEngine) -> str:
    """An image that echoes."""
    return tool_image(container_engine)


@pytest.mark.parametrize("what", NO_IMAGES)
async def test_an_image_is_named_by_its_digest_or_not_at_all(what: str, node: NodeClient) -> None:
    """Name an image by what can be moved to another, or by a path into the engine's API."""
    refused = await node.refusal(NO_IMAGES[what])

    assert (refused.reason, refused.code) == (
        "IMAGE_NOT_BY_DIGEST",
        grpc.StatusCode.INVALID_ARGUMENT,
    )


async def test_an_image_that_is_not_there_is_not_fetched(node: NodeClient) -> None:
    """Name what is not there, and have the node fetch it from wherever its engine asks."""
    refused = await node.refusal(NOBODY)

    assert (refused.reason, refused.code) == ("IMAGE_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    assert "callbroker sandbox build" in refused.message


@pytest.mark.parametrize("what", UNFIT)
async def test_an_image_that_would_bring_something_along_is_refused(
    what: str, node: NodeClient, container_engine: ContainerEngine
) -> None:
    """Have the image ask for what no caller may: a place on the host's disk, a second program."""
    instruction, word = UNFIT[what]

    refused = await node.refusal(image_with(container_engine, instruction))

    assert (refused.reason, refused.code) == (
        "IMAGE_REFUSED",
        grpc.StatusCode.FAILED_PRECONDITION,
    )
    assert word in refused.message


async def test_a_profile_that_is_not_there_is_refused_with_those_that_are(
    node: NodeClient, honest: str
) -> None:
    """Name a profile that does not exist, and get whatever the node falls back to."""
    refused = await node.refusal(honest, profile="none\n")

    assert (refused.reason, refused.code) == ("UNKNOWN_PROFILE", grpc.StatusCode.NOT_FOUND)
    assert "strict" in refused.message


async def test_a_profile_that_has_changed_since_the_decision_is_refused(
    node: NodeClient, honest: str
) -> None:
    """Loosen a profile between a decision and its call."""
    refused = await node.refusal(honest, digest=NOBODY)

    assert refused.reason == "PROFILE_CHANGED"


async def test_a_profile_that_the_node_cannot_give_is_no_lesser_one(
    container_engine: ContainerEngine, honest: str, node: NodeClient
) -> None:
    """Ask for a kernel of one's own where there is none, and be content with the host's."""
    listed = await node.stub.ListProfiles(pb.ListProfilesRequest())
    gvisor = next(each for each in listed.profiles if each.name == "gvisor")
    runtimes = container_engine.ask("GET", "/info")["Runtimes"]

    assert gvisor.available == ("runsc" in runtimes)
    if not gvisor.available:
        refused = await node.refusal(honest, profile="gvisor")
        assert refused.reason == "PROFILE_UNAVAILABLE"
        assert "runsc" in refused.message


@pytest.mark.parametrize("what", INPUTS)
async def test_an_input_that_is_not_one_object_is_not_handed_over(
    what: str, node: NodeClient, honest: str
) -> None:
    """Hand over what the tool's reader stumbles on."""
    refused = await node.refusal(honest, INPUTS[what])

    assert (refused.reason, refused.code) == ("BAD_REQUEST", grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_has_a_plain_name_or_is_not_handed_over(
    name: str, node: NodeClient, honest: str
) -> None:
    """Name a file so that it lands beside the work directory."""
    refused = await node.refusal(honest, files=[pb.File(name=name, content=b"x")])

    assert refused.reason == "BAD_REQUEST"


async def test_more_files_than_the_profile_allows_are_not_handed_over(
    node: NodeClient, honest: str
) -> None:
    """Hand over more than the container may hold, by number and by size."""
    many = [pb.File(name=f"{number}") for number in range(17)]
    large = [pb.File(name="large", content=bytes((8 << 20) + 1))]

    assert (await node.refusal(honest, files=many)).reason == "BAD_REQUEST"
    assert (await node.refusal(honest, files=large)).reason == "BAD_REQUEST"


async def test_a_call_has_a_deadline_and_never_more_than_the_profile_allows(
    node: NodeClient, obeying: str
) -> None:
    """Ask for no deadline, and run forever."""
    for deadline_s in (0, -1):
        refused = await node.refusal(obeying, deadline_s=deadline_s)
        assert refused.reason == "BAD_REQUEST"


@pytest.mark.parametrize("turn", ["call first", "reserve twice", "nothing", "wait a minute"])
async def test_a_conversation_out_of_turn_ends_with_a_reason(
    turn: str, node: NodeClient, honest: str
) -> None:
    """Skip the reservation, or repeat it, to be handed what another one reserved."""
    call = node.stub.Run()
    reserve = pb.RunRequest(reserve=pb.Reserve(image=honest, profile="strict"))
    if turn == "call first":
        await call.write(ask())
    elif turn == "reserve twice":
        reserve.reserve.wait.FromSeconds(20)
        await call.write(reserve)
        await call.read()
        await call.write(reserve)
    elif turn == "nothing":
        await call.done_writing()
    else:
        reserve.reserve.wait.FromSeconds(60)
        await call.write(reserve)

    refused = await _refused(call)

    assert refused.reason == "BAD_REQUEST"
    await node.until(lambda health: not any(pool.busy for pool in health.pools))


async def test_a_full_node_says_so_and_serves_again_once_there_is_room(
    node: NodeClient, honest: str
) -> None:
    """Reserve every container there may be and hand nothing over."""
    most = (await node.health()).containers_max
    held = [node.stub.Run() for _ in range(most)]
    await asyncio.gather(*(node.ready(call, honest, wait_s=30) for call in held))

    refused = await node.refusal(honest, wait_s=0.2)
    for call in held:
        call.cancel()
    served = await node.run(honest)

    assert (refused.reason, refused.code) == ("NO_ROOM", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert served.ending == pb.ENDING_ANSWERED


async def _refused(call: grpc.aio.StreamStreamCall) -> Turned:
    with contextlib.suppress(grpc.aio.AioRpcError):
        assert await call.read() is grpc.aio.EOF
    return await turned(call)
