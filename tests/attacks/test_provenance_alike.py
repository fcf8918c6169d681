"""Everything that I have read is alike, and I ask with more of the same.

Where each argument comes from is looked for in all that my session has seen. I choose both: results
without number that hold the same few codes, and arguments that are made of those codes. Then there
is something to find in each place for each piece, and the broker looks for a minute, for me.
"""

import json
from collections.abc import Iterator

from broker.core.labels import BEST, Labels
from broker.core.provenance.effort import EFFORT_BYTES_MAX, Effort
from broker.core.provenance.finding import Known
from broker.core.provenance.memory import ORIGINS_MAX, Memory, Sighting
from broker.core.provenance.tracing import Trace, trace

RESULTS = 3_000
CODES = [f"code-{number:04}-{number * 7919:012}" for number in range(64)]
SECRET = Labels(trust="untrusted", sensitivity="secret")


class Counted(Effort):
    """How often something is looked for."""

    looks = 0
    glances = 0

    def spend(self, read: int) -> None:
        self.looks += 1
        super().spend(read)

    def glance(self) -> None:
        self.glances += 1
        super().glance()


def read(*, labels: Labels = SECRET, codes: int = len(CODES)) -> Memory:
    """A session that has read one of the codes in each of its results."""
    memory = Memory(is_clean=True)
    for number in range(RESULTS):
        content = json.dumps({"code": CODES[number % codes]}).encode()
        name = f"invocations/{number}"
        memory.see(Sighting(position=number + 1, invocation=name, labels=labels, content=content))
    return memory


def made_of_codes() -> Iterator[str]:
    """Texts of all codes, each in an order of its own."""
    for first in range(len(CODES)):
        yield " and ".join(f"{CODES[(first + n) % len(CODES)]}{n}" for n in range(len(CODES)))


def traced(memory: Memory, effort: Effort, *texts: str) -> Trace:
    asked = {f"a{number}": text for number, text in enumerate(texts)}
    return trace(asked, {"type": "object"}, memory=memory, known=Known(), effort=effort)


def test_of_thousands_of_results_that_are_alike_only_the_first_are_looked_for():
    """Have each of them looked at for a text that all of them hold."""
    effort = Counted()
    found = traced(read(codes=1), effort, CODES[0]).origins["/a0"]
    assert (found.source, found.carries) == ("untrusted_result", "secret")
    assert found.origins == tuple(f"invocations/{number}" for number in range(ORIGINS_MAX))
    assert effort.looks <= 10 * ORIGINS_MAX


def test_a_call_of_texts_that_are_all_alike_is_looked_at_so_far_and_no_further():
    """Ask with so much of them that each piece is little and all together have no end."""
    effort = Counted()
    found = traced(read(), effort, *made_of_codes()).origins
    assert effort.is_spent
    assert effort.looks <= EFFORT_BYTES_MAX // 1_024 + 1
    # What was not looked at to the end is taken for the worst.
    assert {(one.source, one.carries) for one in found.values()} == {("untrusted_result", "secret")}


def test_a_text_that_grows_as_it_is_looked_for_is_cut_up_no_further_than_so():
    """Ask with a letter that stands for eighteen, and have read many of it: all of it is likely."""
    memory, effort = Memory(is_clean=True), Counted()
    letter = "\ufdfa"
    content = json.dumps(letter * 100_000).encode()
    memory.see(Sighting(position=1, invocation="invocations/x", labels=SECRET, content=content))
    found = traced(memory, effort, *(letter * (65_000 + n) for n in range(5))).origins
    assert effort.glances <= EFFORT_BYTES_MAX // 256 + 1
    assert {(one.source, one.carries) for one in found.values()} == {("untrusted_result", "secret")}


def test_once_no_effort_is_left_nothing_is_trusted_that_a_stranger_may_have_said():
    """Have a stranger's account looked for last, where a trusted tool has repeated it."""
    memory = read()
    content = json.dumps({"to": "XX99-ATTACK-0001"}).encode()
    for position, labels in ((RESULTS + 1, SECRET), (RESULTS + 2, BEST)):
        memory.see(
            Sighting(position=position, invocation="invocations/x", labels=labels, content=content)
        )
    texts = (*made_of_codes(), "XX99-ATTACK-0001")
    last = traced(memory, Effort(), *texts).origins[f"/a{len(texts) - 1}"]
    assert last.source == "untrusted_result"
    assert not memory.trusted("XX99-ATTACK-0001", [b"xx99-attack-0001"], Effort(0))
