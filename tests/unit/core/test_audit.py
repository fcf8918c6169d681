"""Linking, trees, notes and lines, each by itself; tests/attacks/test_audit_* has the attacks."""

import base64
import dataclasses
import hashlib
import hmac
import json

import pytest

from broker.core.audit import ChainHead, contents_digest, entry_hash, following, link
from broker.core.audit_lines import EntryLine, MalformedLine, read_line
from broker.core.merkle import Frontier, leaf_hash, node_hash
from broker.core.notes import (
    Checkpoint,
    MalformedNote,
    key_id,
    origin_of,
    parse_verifier_key,
    read,
    sign,
    verifier_key,
)
from broker.store import signature_holds
from tests.audit_logs import (
    MAC,
    OTHER,
    PUBLIC,
    SIGNING,
    MadeLog,
    check,
    draft,
    entry_lines,
    made_log,
)

# The key and the name of the example in the signed-note specification.
SPECIFIED = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"


def test_an_entry_says_what_it_was_given_and_where_it_stands():
    head = ChainHead(sequence=6, previous="ab" * 32, mac=b"m" * 32)
    made = link(draft(1), head, instance="i", entry_id="e", salt=b"s" * 32, key=MAC)
    assert made.contents is not None
    assert json.loads(made.entry) == {
        "id": "e",
        "instance": "i",
        "sequence": 7,
        "at_us": 1_800_000_000_125_000,
        "kind": "call.decided",
        "actor": "agents/a",
        "invocation": "invocations/1",
        "session": "",
        "body": {"number": 1, "codes": ["A"]},
        "contents": "sha256:" + hashlib.sha256(b"s" * 32 + made.contents.body).hexdigest(),
        "previous": "ab" * 32,
    }
    assert made.head.previous == hashlib.sha256(made.entry).hexdigest()
    assert made.head.mac == hmac.new(MAC, head.mac + made.entry, "sha256").digest()
    assert made.head == following(head, made.entry, key=MAC)


def test_an_entry_without_contents_commits_to_none():
    made = link(draft(0), ChainHead(), instance="i", entry_id="e", salt=b"", key=MAC)
    assert made.contents is None
    assert json.loads(made.entry)["contents"] == ""


def test_what_has_no_canonical_form_is_not_linked():
    bad = dataclasses.replace(draft(0), body={"n": 2**60})
    with pytest.raises(ValueError, match="canonical form"):
        link(bad, ChainHead(), instance="i", entry_id="e", salt=b"", key=MAC)


def tree_hash(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162 §2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def test_a_tree_that_grows_has_the_roots_of_the_definition():
    leaves = [
        b"",
        b"\x00",
        b"\x10",
        b" !",
        b"01",
        b"@ABC",
        b"PQRSTUVW",
        *(b"%d" % n for n in range(60)),
    ]
    tree = Frontier()
    assert tree.root() == tree_hash([])
    for size, leaf in enumerate(leaves, start=1):
        tree.add(leaf_hash(leaf))
        assert tree.size == size
        assert tree.root() == tree_hash(leaves[:size])
        again = Frontier(size=tree.size, roots=list(tree.roots))
        assert again.root() == tree.root()


def test_the_root_of_the_well_known_eight_leaves():
    """The vector that implementations of RFC 6962 and RFC 9162 share."""
    leaves = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    tree = Frontier()
    for leaf in leaves:
        tree.add(leaf_hash(bytes.fromhex(leaf)))
    root = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert tree.root().hex() == root


def test_a_leaf_is_no_node():
    assert leaf_hash(b"ab") != node_hash(b"a", b"b")


@pytest.mark.parametrize(("size", "roots"), [(1, 0), (2, 2), (0, 1), (-1, 1)])
def test_a_tree_of_another_size_is_refused(size: int, roots: int):
    with pytest.raises(ValueError, match="subtrees"):
        Frontier(size=size, roots=[b"r" * 32] * roots)


def test_a_key_id_is_the_specifications():
    key = parse_verifier_key(SPECIFIED)
    assert key_id("example.com/foo", key).hex() == "530d903a"
    assert verifier_key(key, "example.com/foo") == SPECIFIED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        SPECIFIED.replace("530d", "530e"),
        SPECIFIED.replace("foo", "bar"),
        SPECIFIED.replace("+AeKy", "+BeKy")[:-1],
        "x+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(),
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str):
    with pytest.raises(MalformedNote):
        parse_verifier_key(text)


def test_a_note_is_written_as_the_specification_says():
    origin = origin_of(PUBLIC)
    head = Checkpoint(origin=origin, size=7, root=b"r" * 32)
    note = sign(head, PUBLIC, SIGNING.sign)
    text, signature = note.split("\n\n")
    assert text == f"{origin}\n7\n{base64.b64encode(b'r' * 32).decode()}"
    dash, name, encoded = signature.removesuffix("\n").split(" ")
    assert (dash, name) == ("\N{EM DASH}", origin)
    raw = base64.b64decode(encoded)
    assert raw[:4] == key_id(origin, PUBLIC)
    assert signature_holds(PUBLIC, raw[4:], (text + "\n").encode())
    assert read(note, PUBLIC, signature_holds) == head


def test_a_line_by_another_key_is_passed_over():
    head = Checkpoint(origin=origin_of(PUBLIC), size=7, root=b"r" * 32)
    note = sign(head, PUBLIC, SIGNING.sign)
    text, signature = note.split("\n\n")
    witness = base64.b64encode(b"\x01\x02\x03\x04" + b"w" * 64).decode()
    both = f"{text}\n\n\N{EM DASH} witness.example {witness}\n{signature}"
    assert read(both, PUBLIC, signature_holds) == head
    with pytest.raises(MalformedNote):
        read(both, OTHER.public_key().public_bytes_raw(), signature_holds)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "x",
        "o\n1\n\n",
        "o\n01\n" + base64.b64encode(bytes(32)).decode() + "\n\n\N{EM DASH} o AAAA\n",
        "o\n1\n" + base64.b64encode(bytes(31)).decode() + "\n\n\N{EM DASH} o AAAA\n",
        "o\n-1\n" + base64.b64encode(bytes(32)).decode() + "\n\n\N{EM DASH} o AAAA\n",
        "o\n1\n" + base64.b64encode(bytes(32)).decode() + "\nextra\n\n\N{EM DASH} o AAAA\n",
        "o\n1\n" + base64.b64encode(bytes(32)).decode() + "\n\n- o AAAA\n",
        "o\n1\n" + base64.b64encode(bytes(32)).decode() + "\n\n\N{EM DASH} o AAAA",
        "o" * 5_000,
    ],
)
def test_what_is_no_note_is_refused(broken: str):
    with pytest.raises(MalformedNote):
        read(broken, PUBLIC, signature_holds)


def test_lines_are_read_back_as_they_were_written():
    lines = made_log(7).lines()
    for line in lines:
        assert read_line(line) == read_line(line + b"\n")
    first = read_line(lines[2])
    assert isinstance(first, EntryLine)
    assert first.contents is not None
    assert contents_digest(first.contents) == first.said["contents"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"[]",
        b"{}",
        b'{"entry":{},"leaf":true}',
        b'{"entry":{},"leaf":0} ',
        b'{"entry":{},"leaf":0,"leaf":0}',
        b'{"entry":{"a":NaN},"leaf":0}',
        b'{"entry":{},"leaf":0,"salt":"00"}',
        b'{"contents":{},"entry":{},"leaf":0}',
        b'{"contents":{},"entry":{},"leaf":0,"salt":"0A"}',
        b'{"checkpoint":1}',
        b'{"header":{}}',
        b'{"header":{"before":["AA=="],"contents":true,"format":1,"key":"k","start":1}}',
        b'{"header":{"before":[],"contents":1,"format":1,"key":"k","start":0}}',
        b'{"header":{"before":[],"contents":true,"format":2,"key":"k","start":0}}',
        b'{"entry":' + b'{"a":' * 100_000 + b"}" * 100_000 + b',"leaf":0}',
        b"\xff",
    ],
)
def test_what_is_no_line_is_refused(line: bytes):
    with pytest.raises(MalformedLine):
        read_line(line)


@pytest.mark.parametrize("count", [1, 4, 5, 23])
@pytest.mark.parametrize("instances", [("a",), ("a", "b", "c")])
def test_an_untouched_log_holds(count: int, instances: tuple[str, ...]):
    report = check(made_log(count, instances=instances).lines())
    assert report.ok
    assert (report.entries, report.signed, report.first_broken) == (count, count, None)
    assert (report.erased, report.warnings) == (0, ())
    assert report.origin == origin_of(PUBLIC)


def test_an_empty_log_holds():
    report = check(MadeLog().lines())
    assert (report.ok, report.entries, report.signed) == (True, 0, 0)


@pytest.mark.parametrize("start", [1, 4, 5, 11, 12, 22])
def test_an_export_that_starts_late_holds(start: int):
    log = made_log(23, instances=("a", "b"))
    report = check(log.lines(start=start), log.notes[15])
    assert report.ok
    assert (report.entries, report.signed) == (23 - start, 23)


def test_erased_contents_are_told_and_are_no_fault():
    lines = made_log(12).lines()
    at = entry_lines(lines)[4]
    read = read_line(lines[at])
    assert isinstance(read, EntryLine)
    assert read.contents is not None
    lines[at] = b'{"entry":%b,"leaf":4}' % read.entry
    report = check(lines)
    assert (report.ok, report.erased) == (True, 1)
    assert report.warnings == ("The contents of 1 entries have been erased.",)


def test_heads_from_outside_that_fit_are_no_fault():
    log = made_log(23)
    report = check(log.lines(), *log.notes.values())
    assert report.ok


def test_hashes_are_spelled_in_hexadecimal():
    assert entry_hash(b"") == hashlib.sha256(b"").hexdigest()
