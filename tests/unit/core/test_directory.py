"""What is known is taken whole or not at all, and comes back from its row as it went in."""

import json
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.control import ControlRow, ControlRows, ToolCache
from broker.core.control_rows import control_of
from broker.core.directory import EMPTY, KINDS, SENSITIVITIES, Entry, Provision, subjects_of
from broker.core.directory_checks import DirectoryRefused, parse
from broker.core.directory_rows import directory_in, said, source_changes, source_of
from broker.core.directory_schema import directory_schema
from broker.core.errors import Defect
from broker.core.schemas import Validator
from broker.core.text import visible
from broker.policy.sources import library_directory
from broker.tools.schema_file import schema_file


def document(*entries: Any, **changes: Any) -> dict[str, Any]:
    return {"source": "CRM export", "entries": list(entries), **changes}


def one(kind: str = "person", value: Any = "Ada", **changes: Any) -> dict[str, Any]:
    return {"kind": kind, "value": value, **changes}


def findings(given_document: Any) -> list[str]:
    with pytest.raises(DirectoryRefused) as refused:
        parse(given_document)
    return [str(finding) for finding in refused.value.findings]


def row(provision: Provision, *, put_at: float = 1.5, put_by: str = "op") -> ControlRow:
    _, put = source_changes(source_of(provision, put_at=put_at, put_by=put_by), provision)
    return ControlRow(kind=put.kind, key=put.key, digest=put.digest, body=put.body)


def test_an_entry_is_known_to_everybody_and_approved_for_nothing_sensitive_unless_it_says_so():
    provision = parse(
        document(
            one(), one("mailbox", "a@x.example", sensitivity="personal", **{"for": "groups/g"})
        )
    )
    assert provision.entries == (
        Entry(kind="person", value="Ada", source="CRM export"),
        Entry(
            kind="mailbox",
            value="a@x.example",
            subject="groups/g",
            sensitivity="personal",
            source="CRM export",
        ),
    )


def test_every_problem_is_told_with_where_it_is():
    told = findings(document(one(), one("fax"), one(), one(value=""), {"value": "x", "nam": 1}, 7))
    assert told == [
        "/entries/1/kind: one of mailbox, domain, host, account, channel, person",
        "/entries/2: is /entries/0 once more: leave it out",
        "/entries/3/value: is empty",
        "/entries/4: `nam` is no member: for, kind, sensitivity, value",
        "/entries/4/kind: one of mailbox, domain, host, account, channel, person",
        "/entries/5: write an object with `kind` and `value`",
    ]


@pytest.mark.parametrize(
    ("wrong", "at"),
    [
        ([], ""),
        (document(one(), source=" CRM"), "/source"),
        (document(one(), source="C\u200bRM"), "/source"),
        (document(one(), source="x" * 201), "/source"),
        (document(one(), source=7), "/source"),
        (document(), "/entries"),
        (document(entries={}), "/entries"),
        (document(one(), more=1), "/more"),
        (document(one(), entries=[one()] * 100_001), "/entries"),
    ],
)
def test_a_source_has_a_name_and_entries_and_nothing_else(wrong, at):
    assert [told.partition(":")[0] for told in findings(wrong)] == [at]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("mailbox", "Ada <ada@x.example>"),
        ("mailbox", "ada"),
        ("mailbox", "a@b@x.example"),
        ("mailbox", "a..b@x.example"),
        ("mailbox", '"a b"@x.example'),
        ("mailbox", "a,b@x.example"),
        ("mailbox", "a@x.example,b@y.example"),
        ("mailbox", "a@[192.0.2.7]"),
        ("mailbox", "a@192.0.2.7"),
        ("mailbox", "a@x.example."),
        ("mailbox", f"{'a' * 65}@x.example"),
        ("mailbox", "@x.example"),
        ("domain", "example"),
        ("domain", "*.x.example"),
        ("domain", ".x.example"),
        ("domain", "x.example."),
        ("domain", "https://x.example"),
        ("domain", "x.example/a"),
        ("domain", "x_y.example"),
        ("domain", "-x.example"),
        ("domain", "192.0.2.7"),
        ("domain", "0x7f.0x1"),
        ("domain", "\uff53hop.example"),
        ("domain", "shop\u3002example"),
        ("domain", f"{'a' * 64}.example"),
        ("host", "x.example:443"),
        ("host", "user@x.example"),
        ("host", "[::1]"),
        ("host", "fe80::1%eth0"),
        ("host", "0x7f000001"),
        ("host", "2130706433"),
        ("host", "192.0.2.007"),
        ("host", "2001:DB8::7"),
        ("host", "2001:db8:0:0:0:0:0:7"),
        ("person", ""),
        ("person", " Ada"),
        ("person", "Ada\n"),
        ("person", "A\u202eda"),
        ("person", "A\u200dda"),
        ("person", "Ada\u00a0L"),
        ("person", "e\u0301"),
        ("person", "\ud800"),
        ("person", "x" * 321),
        ("person", 7),
        ("person", None),
        ("account", "DE\x0012"),
    ],
)
def test_what_is_no_such_thing_or_cannot_be_seen_is_refused(kind, value):
    (told,) = findings(document(one(kind, value)))
    assert told.startswith("/entries/0/value: ")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("mailbox", "ada.l+shop@x.example"),
        ("mailbox", "ada@intranet"),
        ("mailbox", "j\u00fcrgen@b\u00fccher.example"),
        ("domain", "b\u00fccher.example"),
        ("domain", "xn--bcher-kva.example"),
        ("host", "localhost"),
        ("host", "192.0.2.7"),
        ("host", "2001:db8::7"),
        ("account", "DE75 5121 0800 1245 1261 99"),
        ("channel", "#general"),
        ("person", "CORP\\ada"),
        ("person", "\u00c5sa \u674e"),
    ],
)
def test_what_is_written_plainly_is_taken_as_it_is(kind, value):
    assert parse(document(one(kind, value))).entries[0].value == value


@given(st.sampled_from(KINDS), st.text(max_size=30) | st.from_regex(r"\A[a-z@.\-]{1,30}\Z"))
def test_whatever_is_taken_is_seen_as_it_is_and_has_one_spelling(kind, value):
    try:
        taken = parse(document(one(kind, value))).entries[0].value
    except DirectoryRefused:
        return
    assert taken == value == unicodedata.normalize("NFC", value) == value.strip()
    assert visible(value.replace("\\", "/")) == value.replace("\\", "/")
    assert kind not in {"domain", "host"} or not set(value) & set(" /\\@*#?")
    assert kind != "mailbox" or value.count("@") == 1


@pytest.mark.parametrize(
    "label",
    ["xn--", "xn--ada", "xn--ada-", "xn--bcher-kvaaaaaaaaaaaaa9", "xn--B\u00fccher", "xn---"],
)
def test_an_ascii_form_of_no_letters_is_no_host(label):
    (told,) = findings(document(one("domain", f"{label}.example")))
    assert told.startswith("/entries/0/value: ")


def test_two_names_that_only_look_up_alike_are_two_entries():
    both = document(one("domain", "stra\u00dfe.example"), one("domain", "strasse.example"))
    assert len(parse(both).entries) == 2


@given(
    st.lists(st.sampled_from("abc\u00fc\u00e9\u0431\u0434\u674e\u00df"), min_size=1, max_size=12)
)
def test_each_name_is_one_with_its_ascii_form(letters):
    name = "".join(letters)
    ascii_form = name if name.isascii() else "xn--" + name.encode("punycode").decode()
    told = findings(document(one("domain", f"{name}.x"), one("domain", f"{ascii_form}.x")))
    assert "once more" in told[0]


def test_the_schema_that_editors_use_is_the_one_of_the_code():
    file = library_directory() / "schemas" / "directory.json"
    assert file.read_text("utf-8") == schema_file("directory"), (
        "python -m broker.tools.schema_file directory > policies/schemas/directory.json"
    )


@pytest.mark.parametrize(
    ("given_document", "fits"),
    [
        (document(one("mailbox", "ada@x.example", sensitivity="personal")), True),
        (document(one(**{"for": "groups/staff"})), True),
        (document(), False),
        (document(one("planet")), False),
        (document(one(value="")), False),
        (document(one(colour="red")), False),
        ({"entries": [one()]}, False),
    ],
)
def test_an_editor_takes_what_is_taken(given_document, fits):
    assert bool(Validator(directory_schema()).violations(given_document)) is not fits
    if not fits:
        findings(given_document)


@pytest.mark.parametrize("subject", ["", "groups/", "groups/*", " x", "x\ty", 7, "x" * 201])
def test_an_entry_is_for_somebody(subject):
    (told,) = findings(document(one(**{"for": subject})))
    assert told.startswith("/entries/0/for: ")


@pytest.mark.parametrize("sensitivity", ["", "public", "SECRET", None, ["none"]])
def test_a_sensitivity_that_means_nothing_is_refused(sensitivity):
    (told,) = findings(document(one(sensitivity=sensitivity)))
    assert told.startswith("/entries/0/sensitivity: ")


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("mailbox", "ada@x.example", "ada@X.example"),
        ("domain", "x.example", "X.example"),
        ("host", "a.x.example", "A.x.EXAMPLE"),
        ("domain", "b\u00fccher.example", "xn--bcher-kva.example"),
        ("domain", "B\u00dcCHER.example", "XN--bcher-kva.Example"),
        ("mailbox", "ada@b\u00fccher.example", "ada@xn--bcher-kva.example"),
        ("host", "a.\u674e.example", "a.xn--7qv.example"),
    ],
)
def test_the_case_of_a_host_and_its_ascii_form_make_no_other_entry(kind, first, second):
    assert "once more" in findings(document(one(kind, first), one(kind, second)))[0]


def test_one_value_for_two_subjects_is_two_entries():
    assert len(parse(document(one(), one(**{"for": "groups/g"}))).entries) == 2


def test_known_is_what_is_for_everybody_or_for_one_of_the_subjects():
    rows = [
        row(parse(document(one(), one(value="B", **{"for": "groups/g"})))),
        row(parse(document(one(value="C", **{"for": "c-1"}), source="another"))),
    ]
    directory = directory_in(rows)
    assert [s.name for s in directory.sources] == ["CRM export", "another"]
    assert {e.value for e in directory.known_to(())} == {"Ada"}
    assert {e.value for e in directory.known_to(subjects_of("c-1", ["g"]))} == {"Ada", "B", "C"}
    assert {e.value for e in directory.known_to(subjects_of("c-2", ["h"]))} == {"Ada"}


ENTRY = st.builds(
    Entry,
    kind=st.sampled_from(KINDS),
    value=st.sampled_from(["a", "b", "c"]),
    subject=st.sampled_from(["*", "groups/g", "c-1"]),
    sensitivity=st.sampled_from(SENSITIVITIES),
    source=st.just("s"),
)


@given(st.sets(ENTRY, min_size=1))
def test_what_is_put_comes_back_from_its_row(entries):
    provision = Provision(source="s", entries=tuple(entries))
    found = directory_in([row(provision)])
    assert {e for known in found.entries.values() for e in known} == entries
    assert found.sources[0] == source_of(provision, put_at=1.5, put_by="op")


@given(st.permutations([one(value=v) for v in "abc"]))
def test_the_order_in_a_file_changes_nothing(entries):
    assert said(parse(document(*entries))) == said(parse(document(*sorted(entries, key=str))))


@pytest.mark.parametrize(
    "change",
    [
        {"put_at": "x"},
        {"put_by": None, "known": 7},
        {"digest": "sha256:0"},
        {"source": "another"},
        {"known": {"fax": {"*": {"none": ["1"]}}}},
        {"known": {"person": {"*": {"public": ["1"]}}}},
        {"known": {"person": {"*": {"none": ["Eve"]}}}},
    ],
)
def test_a_row_that_is_not_what_it_says_is_a_defect(change):
    good = row(parse(document(one())))
    body = json.dumps({**json.loads(good.body), **change}).encode()
    with pytest.raises(Defect):
        directory_in([replace(good, body=body)])


def test_a_directory_that_did_not_change_is_one_and_the_same():
    held = ControlRows(revision=1, rows=(row(parse(document(one()))),))
    first, cache = control_of(held, ToolCache())
    second, _ = control_of(replace(held, revision=2), cache)
    assert second.directory is first.directory
    third, _ = control_of(ControlRows(revision=3, rows=()), cache)
    assert third.directory is EMPTY
