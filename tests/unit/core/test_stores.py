"""What tools write is no source of trust for what tools read, seen over all of them together."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.control import ControlRow, ControlRows, ToolCache
from broker.core.control_rows import control_of, tool_row
from broker.core.manifest import ManifestRefused, Output, Stores, ToolManifest, parse, warnings
from broker.core.stores import effective_output, stores_advice, writers

CLOSED = {"type": "object", "additionalProperties": False, "properties": {}}
TRUSTED = {"trust": "trusted", "sensitivity": "personal"}
NAMES = ("wiki", "orders", "mail")


def tool(name: str, *, stores=None, output=TRUSTED, **behaviour) -> ToolManifest:
    document = {
        "name": name,
        "description": "Does it.",
        "summary": "Do it",
        "arguments": CLOSED,
        "result": False,
        "scopes": [{"name": "it:do"}],
        "output": output,
        "behaviour": {"read_only": False, "open_world": False, **behaviour},
        **({} if stores is None else {"stores": stores}),
    }
    return parse(json.loads(json.dumps(document)))


def reader(*stores: str, name: str = "read_page") -> ToolManifest:
    return tool(name, stores={"reads": list(stores), "writes": []}, read_only=True)


def writer(*stores: str, name: str = "edit_page") -> ToolManifest:
    return tool(name, stores={"reads": [], "writes": list(stores)})


def output_of(manifest: ToolManifest, *others: ToolManifest) -> Output:
    return effective_output(manifest, writers((manifest, *others)))


def in_force(*manifests: ToolManifest, cache: ToolCache | None = None):
    put = map(tool_row, manifests)
    rows = tuple(ControlRow(kind=r.kind, key=r.key, digest=r.digest, body=r.body) for r in put)
    return control_of(ControlRows(revision=1, rows=rows), cache or ToolCache())


def test_what_is_read_from_a_store_that_another_tool_writes_is_untrusted():
    assert output_of(reader("orders", "wiki"), writer("wiki")).trust == "untrusted"
    assert output_of(reader("orders"), writer("wiki")).trust == "trusted"
    assert output_of(reader("wiki")).trust == "trusted"


def test_its_sensitivity_stays_what_the_manifest_says():
    assert output_of(reader("wiki"), writer("wiki")).sensitivity == "personal"


def test_a_tool_that_reads_what_it_writes_itself_is_untrusted():
    both = tool("append", stores={"reads": ["wiki"], "writes": ["wiki"]})
    assert output_of(both).trust == "untrusted"


def test_stores_that_are_not_declared_are_not_known_and_empty_ones_are_none():
    assert tool("a").stores == Stores()
    assert tool("a", stores={"reads": []}).stores == Stores(reads=())


@pytest.mark.parametrize("name", ["Wiki", "", "my wiki", "a" * 65, "*"])
def test_a_store_has_a_plain_name(name):
    with pytest.raises(ManifestRefused, match="/stores/reads/0"):
        tool("a", stores={"reads": [name]})


def test_what_only_reads_writes_no_store():
    with pytest.raises(ManifestRefused, match="/stores/writes: a tool that is read_only"):
        tool("a", stores={"writes": ["wiki"]}, read_only=True)


def test_the_tools_in_force_have_their_output_beside_each_other():
    control, cache = in_force(reader("wiki"), writer("wiki"))
    assert control.tools["read_page"].output == Output(trust="untrusted", sensitivity="personal")
    assert control.tools["edit_page"].output == Output(trust="trusted", sensitivity="personal")
    alone, _ = in_force(reader("wiki"), cache=cache)
    assert alone.tools["read_page"].output.trust == "trusted"
    again, _ = in_force(reader("wiki"), writer("wiki"), cache=_cache_of(alone))
    assert again.tools["read_page"].output.trust == "untrusted"


def _cache_of(control) -> ToolCache:
    return ToolCache(by_revision={t.manifest.revision: t for t in control.tools.values()})


def test_the_advice_names_both_tools_and_what_follows():
    (told,) = stores_advice([writer("wiki"), reader("wiki")])
    assert told == (
        "read_page: /output/trust: counts as untrusted: it reads wiki, which edit_page can write"
        " for an agent"
    )


def test_many_writers_are_named_in_part():
    many = [writer("wiki", name=f"edit_{n}") for n in range(5)]
    (told,) = stores_advice([reader("wiki"), *many])
    assert "edit_0, edit_1, edit_2 and 2 more can write" in told


def test_nothing_is_told_of_a_tool_that_its_manifest_calls_untrusted():
    untrusted = tool("read", stores={"reads": ["wiki"]}, output={}, read_only=True)
    assert stores_advice([untrusted, writer("wiki")]) == ()


def test_a_tool_that_does_not_say_what_it_writes_is_pointed_at_where_somebody_reads():
    silent = tool("import_pages")
    (told,) = stores_advice([reader("wiki"), silent])
    assert told.startswith("import_pages: /stores/writes: undeclared: if it writes wiki")
    assert stores_advice([silent]) == ()


def test_a_trusted_tool_that_does_not_say_what_it_reads_is_pointed_at_where_somebody_writes():
    silent = tool("search", read_only=True)
    (told,) = stores_advice([silent, writer("wiki")])
    assert told.startswith("search: /stores/reads: undeclared")
    assert warnings(silent) == ()


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES))),
        min_size=1,
        max_size=4,
    ),
    st.tuples(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES))),
)
def test_one_more_tool_never_makes_another_one_trusted(before, more):
    def made(number, stores):
        reads, writes = stores
        return tool(f"t{number}", stores={"reads": sorted(reads), "writes": sorted(writes)})

    tools = [made(number, stores) for number, stores in enumerate(before)]
    after = [*tools, made(len(tools), more)]
    for one in tools:
        if effective_output(one, writers(tools)).trust == "untrusted":
            assert effective_output(one, writers(after)).trust == "untrusted"
