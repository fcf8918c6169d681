"""A hostile program answers: out of turn, too much, too often, in somebody else's name.

Its aim is to have something taken for a result that is none, or to make whoever reads it stumble.
Each answer is refused with one code, and the node serves the next call.
"""

import pytest

from sandboxes.v1 import sandboxes_pb2 as pb
from tests.attacks.sandbox.programs import orders, program
from tests.engine_api import ContainerEngine
from tests.sandbox_images import hostile_image, tool_image
from tests.sandbox_nodes import NodeClient

pytestmark = pytest.mark.asyncio(loop_scope="module")
MANY_BYTES = 100 << 20

ANSWERS = {
    "another nonce": ("say(answer('0' * 32))", "OUTPUT_UNFRAMED"),
    "no nonce": ("say(framed({'result': 1}, b'1'))", "OUTPUT_UNFRAMED"),
    "its nonce as a number": ("say(framed({'nonce': 7, 'result': 1}, b'1'))", "OUTPUT_UNFRAMED"),
    "plain text": ("say(b'{\"ok\": true}\\n')", "OUTPUT_UNFRAMED"),
    "a question": ("say(framed({'nonce': nonce}, b'', b'CBRQ'))", "OUTPUT_UNFRAMED"),
    "a head that is no JSON": ("say(framed(b'{nonce'))", "OUTPUT_UNFRAMED"),
    "a head nested 10,000 deep": ("say(framed(b'[' * 10_000))", "OUTPUT_UNFRAMED"),
    "a negative length": ("say(framed({'nonce': nonce, 'result': -1}))", "OUTPUT_UNFRAMED"),
    "a length that is true": ("say(framed({'nonce': nonce, 'result': True}, b'1'))",
                              "OUTPUT_UNFRAMED"),
    "lengths that nobody can write": ("""say(framed({"nonce": nonce, "result": 1, "files": [
                                      {"name": n, "size": 10 ** 4_299} for n in "ab"]}, b"1"))""",
                                      "OUTPUT_UNFRAMED"),
    "a string that never ends": ("""say(answer(nonce, b"[" + b"[]," * 33 + bytes([34])
                                 + bytes([92, 34]) * 400_000))""", "OUTPUT_NOT_JSON"),
    "a head of 1 GB": ("say(struct.pack('>4sI', b'CBRS', 1 << 30))", "OUTPUT_TOO_LARGE"),
    "a result of 100 MB": (f"say(framed({{'nonce': nonce, 'result': {MANY_BYTES}}}))",
                           "OUTPUT_TOO_LARGE"),
    "100 MB without a frame": (f"say(b'x' * {MANY_BYTES})", "OUTPUT_UNFRAMED"),
    "100 MB after its answer": (f"say(answer(nonce) + b'x' * {MANY_BYTES})", "OUTPUT_TRAILING"),
    "100 MB of errors": (f"say(b'x' * {MANY_BYTES}, to=2)", "OUTPUT_TOO_LARGE"),
    "two answers": ("say(answer(nonce) + answer(nonce, b'2'))", "OUTPUT_TRAILING"),
    "a line after its answer": ("say(answer(nonce) + b'\\n')", "OUTPUT_TRAILING"),
    "no JSON": ("say(answer(nonce, b'{'))", "OUTPUT_NOT_JSON"),
    "nothing": ("say(answer(nonce, b''))", "OUTPUT_NOT_JSON"),
    "two values": ("say(answer(nonce, b'1 2'))", "OUTPUT_NOT_JSON"),
    "NaN": ("say(answer(nonce, b'NaN'))", "OUTPUT_NOT_JSON"),
    "bytes that are no text": ("say(answer(nonce, b'\"\\xff\"'))", "OUTPUT_NOT_JSON"),
    "33 arrays": ("say(answer(nonce, b'[' * 33 + b']' * 33))", "OUTPUT_TOO_DEEP"),
    "half a million arrays": ("say(answer(nonce, b'[' * 500_000 + b']' * 500_000))",
                              "OUTPUT_TOO_DEEP"),
    "a file above": ("say(answer(nonce, files=[('../../etc/cron.d/x', b'')]))",
                     "OUTPUT_FILE_NAME"),
    "an absolute file": ("say(answer(nonce, files=[('/etc/passwd', b'')]))", "OUTPUT_FILE_NAME"),
    "a hidden file": ("say(answer(nonce, files=[('.bashrc', b'')]))", "OUTPUT_FILE_NAME"),
    "two files of one name": ("say(answer(nonce, files=[('a', b''), ('A', b'')]))",
                              "OUTPUT_FILE_NAME"),
    "3,000 files": ("say(answer(nonce, files=[(f'{n}', b'') for n in range(3_000)]))",
                     "OUTPUT_TOO_LARGE"),
    "files of 1 TB": ("""say(framed({"nonce": nonce, "result": 1,
                         "files": [{"name": "a", "size": 1 << 40}]}, b"1"))""", "OUTPUT_TOO_LARGE"),
}  # fmt: skip


@pytest.mark.parametrize("what", ANSWERS)
async def test_an_answer_that_breaks_a_rule_is_no_result(
    what: str, node: NodeClient, obeying: str
) -> None:
    """Say in answer what the node might take for a result, choke on, or keep too much of."""
    source, code = ANSWERS[what]

    result = await node.run(obeying, orders(source))

    assert result.code == code, result
    assert result.ending in (pb.ENDING_BROKEN, pb.ENDING_KILLED)
    assert result.result_json == b""
    assert not result.files


async def test_an_honest_tool_is_served_after_all_of_them(
    node: NodeClient, container_engine: ContainerEngine
) -> None:
    """Leave something behind in the node, for whoever comes next."""
    result = await node.run(tool_image(container_engine), {"a": 1})

    assert result.ending == pb.ENDING_ANSWERED
    assert result.result_json == b'{"got":{"a":1},"files":[]}'


async def test_an_answer_that_was_written_before_the_question_is_refused(
    node: NodeClient, container_engine: ContainerEngine
) -> None:
    """Lay an answer ready in the pipe, for whichever question comes: it would be there first."""
    image = hostile_image(
        container_engine,
        program("""
        say(READY)
        time.sleep(0.1)
        say(answer("0" * 32))
        question()
        time.sleep(60)
        """),
    )

    result = await node.run(image, hold_s=0.6)

    assert (result.ending, result.code) == (pb.ENDING_KILLED, "OUTPUT_EARLY")


async def test_what_speaks_before_it_is_ready_is_never_handed_a_call(
    node: NodeClient, container_engine: ContainerEngine
) -> None:
    """Print at start, as a banner would, and hope that the result is looked for after it."""
    image = hostile_image(container_engine, program("say(b'hello\\n' + READY)\nquestion()"))

    refused = await node.refusal(image)

    assert refused.reason == "IMAGE_REFUSED"
    assert "before it was asked" in refused.message


async def test_what_dies_before_it_is_ready_is_a_refusal_with_its_exit_code(
    node: NodeClient, container_engine: ContainerEngine
) -> None:
    """Fail to load, so that callers wait for a container that never comes."""
    image = hostile_image(container_engine, program("os._exit(7)"))

    refused = await node.refusal(image)

    assert refused.reason == "IMAGE_REFUSED"
    assert "exit code 7" in refused.message


async def test_words_of_a_failing_tool_are_cut_and_its_code_is_one(
    node: NodeClient, obeying: str
) -> None:
    """Fail with a code that forges a line of the log, and a message that is a page."""
    source = 'say(framed({"nonce": nonce, "result": 0, "failure": ["X\\nALLOWED", "y" * 60_000]}))'

    result = await node.run(obeying, orders(source))

    assert (result.ending, result.code) == (pb.ENDING_TOOL_FAILED, "TOOL_FAILED")
    assert len(result.message) == 2_000
