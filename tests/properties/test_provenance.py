"""Laws of where values come from: nothing of a stranger's is ever trusted, nothing sound is not."""

import base64
import json
import string
from urllib.parse import quote

from hypothesis import assume, example, given
from hypothesis import strategies as st

from broker.core.directory import Entry
from broker.core.labels import BEST, Labels
from broker.core.provenance.decoding import decoded
from broker.core.provenance.effort import Effort
from broker.core.provenance.finding import Known
from broker.core.provenance.folding import fold
from broker.core.provenance.marked import INDEXED_BYTES_MIN, PIECE, Marked
from broker.core.provenance.memory import Memory, Sighting
from broker.core.provenance.origins import TRUSTED, Origin
from broker.core.provenance.places import places
from broker.core.provenance.tracing import input_labels, trace

UNTRUSTED = Labels(trust="untrusted", sensitivity="none")
WORDS = ("Pay lee@example.com what we owe, order O-10012.", "Then stop: 12345.50 EUR at most.")
KNOWN = Known(
    words=WORDS,
    places=places(
        [
            Entry(kind="mailbox", value="sam@example.org", source="CRM"),
            Entry(kind="host", value="docs.example.org", source="IT"),
        ]
    ),
)
SCHEMA = {"type": "object", "properties": {"to": {}}}
letters = st.text(string.ascii_lowercase + string.digits, min_size=3, max_size=12)
# Of an alphabet that none of the trusted texts has in this order: a marker stands in each.
strangers = st.builds("{}zqx{}@{}qzx.example".format, letters, letters, letters) | st.builds(
    "ZQ{}XJ{}".format, st.integers(10, 99), st.integers(10**9, 10**12)
)
anything = st.text(max_size=40)


def upside_down(text: str) -> str:
    return text[::-1]


DRESSES = (
    str,
    str.upper,
    upside_down,
    quote,
    lambda text: quote(quote(text)),
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    lambda text: base64.b32encode(text.encode()).decode(),
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex(" "),
    lambda text: "".join(f"&#{ord(c)};" for c in text),
    lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "\u200b".join,
    " ".join,
    lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    lambda text: text.replace("a", "\u0430").replace("e", "\u0435").replace("o", "\u043e"),
)
dresses = st.sampled_from(DRESSES)


def seen(*results: tuple[Labels, object], parent: Memory | None = None) -> Memory:
    memory = Memory(is_clean=True, parent=parent)
    for position, (labels, content) in enumerate(results, start=1):
        memory.see(
            Sighting(
                position=position,
                invocation=f"invocations/{position}",
                labels=labels,
                content=json.dumps(content).encode(),
            )
        )
    return memory


def origin(value: object, memory: Memory) -> Origin:
    return trace({"to": value}, SCHEMA, memory=memory, known=KNOWN).origins["/to"]


@given(value=strangers, before=anything, after=anything, worn=dresses, sent=dresses)
def test_a_value_of_a_stranger_is_trusted_in_no_dress(value, before, after, worn, sent):
    memory = seen((UNTRUSTED, {"body": f"{before}{worn(value)}{after}"}))
    assert origin(sent(value), memory).source not in TRUSTED


@given(value=strangers, before=anything, after=anything, worn=dresses)
def test_it_is_known_for_a_strangers_whatever_it_wore(value, before, after, worn):
    memory = seen((UNTRUSTED, {"body": f"{before} {worn(value)} {after}"}))
    assert origin(value, memory).source in {"untrusted_result", "lookalike"}


@given(value=strangers, sent=dresses)
def test_it_is_known_for_a_strangers_in_whatever_dress_it_is_sent(value, sent):
    memory = seen((UNTRUSTED, {"body": value}))
    assert origin(sent(value), memory).source in {"untrusted_result", "lookalike"}


@given(value=strangers, cut=st.integers(1, 12), echoed=dresses)
@example(value="000zqx000@22222223qzx.example", cut=1, echoed=DRESSES[5])
def test_no_later_result_makes_it_better(value, cut, echoed):
    results = (
        (UNTRUSTED, {"first": value[:cut], "rest": value[cut:]}),
        (UNTRUSTED, value),
        (BEST, {"saved": value, "shown": echoed(value)}),
    )
    assert origin(value, seen(*results)).source not in TRUSTED
    assert origin(echoed(value), seen(*results)).source not in TRUSTED


@given(value=strangers)
def test_what_a_parent_met_as_untrusted_is_so_to_the_child(value):
    child = seen((BEST, {"saved": value}), parent=seen((UNTRUSTED, value)))
    assert origin(value, child).source == "untrusted_result"


@given(value=strangers, empty=st.lists(st.sampled_from([None, "", [], {}]), min_size=5))
def test_names_and_empty_values_carry_no_trust_through(value, empty):
    memory = seen((UNTRUSTED, value))
    by_name = trace({"to": {value: ""}}, SCHEMA, memory=memory, known=KNOWN)
    by_choice = trace({"to": empty}, SCHEMA, memory=memory, known=KNOWN)
    assert input_labels(by_name, memory).trust == "untrusted"
    assert input_labels(by_choice, memory).trust == "untrusted"


@given(value=strangers, room=st.integers(0, 3))
def test_what_is_too_long_to_be_looked_at_is_never_trusted(value, room):
    long = "x" * (65_536 + room)
    memory = seen((BEST, long), (UNTRUSTED, value))
    assert origin(long + value, memory).source == "untrusted_result"


@given(before=anything, value=anything, after=anything)
def test_folding_goes_character_by_character(before, value, after):
    assert fold(before + value + after) == fold(before) + fold(value) + fold(after)


@given(
    texts=st.lists(st.binary(max_size=80), min_size=1, max_size=6),
    which=st.integers(0, 5),
    start=st.integers(0, 79),
    length=st.integers(1, 80),
)
def test_the_index_hides_nothing(texts, which, start, length):
    clean = [bytes(97 + b % 3 for b in text) for text in texts]
    marked = Marked()
    for text in clean:
        marked.add(text)
    needle = clean[which % len(clean)][start : start + length]
    assume(needle)
    expected = [number for number, text in enumerate(clean) if needle in text]
    assert list(marked.holders(needle, Effort())) == expected
    assert list(marked.holders(needle, Effort(0))) == []
    assert marked.sharers(needle, Effort(0))[1] is False
    if len(needle) >= max(PIECE + 3, INDEXED_BYTES_MIN):
        numbers, is_all = marked.sharers(b"~" * 7 + needle + b"~" * 9, Effort())
        assert numbers or not is_all


@given(text=st.text(max_size=300))
def test_a_text_is_its_own_first_form(text):
    assert decoded(text).texts[0] == text


@given(
    value=strangers,
    before=st.sampled_from(["", " ", "to: ", "(", "“", "\n", "mailto:"]),
    after=st.sampled_from(["", " ", ".", ")", "”", ", then", "\n", "!"]),
)
def test_what_the_user_typed_is_words_even_where_strangers_repeat_it(value, before, after):
    memory = seen((UNTRUSTED, f"do not pay {value}"))
    known = Known(words=(f"{before}{value}{after}",))
    found = trace({"to": value}, SCHEMA, memory=memory, known=known)
    assert found.origins["/to"].source == "words"


@given(value=strangers, others=st.lists(anything, max_size=5))
def test_what_a_trusted_tool_released_stays_trusted(value, others):
    assume(not any("zqx" in text.lower() or "zq" in text.lower() for text in others))
    assume(all(fold(value) not in fold(text) for text in others))
    results = [(UNTRUSTED, text) for text in others]
    assert origin(value, seen(*results, (BEST, {"of": value}))).source == "trusted_result"
    assert origin(value, seen((BEST, [value]), *results)).source == "trusted_result"


@given(amount=st.decimals(min_value=1000, max_value=10**9, places=2))
def test_an_amount_that_the_user_typed_is_words_however_many_zeros_end_it(amount):
    known = Known(words=(f"Pay {amount} EUR",))
    found = trace({"to": float(amount)}, SCHEMA, memory=seen(), known=known)
    assert found.origins["/to"].source in {"words", "weak"}
