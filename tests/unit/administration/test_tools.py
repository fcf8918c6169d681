"""Manifests come into force together or not at all, and leave for a reason."""

import pytest

from broker.core.errors import MalformedRequest, NotFound
from tests.unit.administration.office import OPERATOR, document
from tests.world import REFUND


async def test_tools_come_into_force_at_once_and_each_is_kept_and_in_the_log(office):
    put = await office.admin.tools.put(OPERATOR, [document(), document(name="refund_all")])
    assert [m.name for m in put.manifests] == ["refund", "refund_all"]
    assert set(office.room.current().tools) == {"refund", "refund_all"}
    for manifest in put.manifests:
        assert await office.store.document(manifest.revision) is not None
    assert (await office.kinds()).count("tool.put") == 2


async def test_putting_the_same_again_changes_nothing(office):
    await office.admin.tools.put(OPERATOR, [document()])
    before = office.room.current().revision
    await office.admin.tools.put(OPERATOR, [document()])
    assert office.room.current().revision == before


async def test_one_broken_manifest_takes_none_and_all_findings_are_told(office):
    with pytest.raises(MalformedRequest) as wrong:
        await office.admin.tools.put(
            OPERATOR, [document(), b"{", document(name="UPPER"), document(summary=1)]
        )
    assert all(f"manifest {n}: " in str(wrong.value) for n in (2, 3, 4))
    assert office.room.current().tools == {}
    assert office.room.current().revision == (await office.store.control()).revision


async def test_one_name_twice_in_one_request_is_refused(office):
    with pytest.raises(MalformedRequest, match="second one for the tool refund"):
        await office.admin.tools.put(OPERATOR, [document(), document(description="Other.")])


async def test_checking_alone_changes_nothing(office):
    put = await office.admin.tools.put(OPERATOR, [document()], validate_only=True)
    assert [m.name for m in put.manifests] == ["refund"]
    assert office.room.current().tools == {}


async def test_replacing_all_takes_the_others_out(office):
    await office.admin.tools.put(OPERATOR, [document(), document(name="old")])
    await office.admin.tools.put(OPERATOR, [document()], replace_all=True)
    assert set(office.room.current().tools) == {"refund"}
    assert (await office.kinds()).count("tool.deleted") == 1


async def test_what_was_put_by_other_requests_can_be_kept_while_the_rest_goes(office):
    await office.admin.tools.put(OPERATOR, [document(), document(name="old")])
    await office.admin.tools.put(OPERATOR, [document(name="second")])
    kept = ["refund", "second", "no_such_tool"]
    await office.admin.tools.put(OPERATOR, [], replace_all=True, kept=kept)
    assert set(office.room.current().tools) == {"refund", "second"}
    assert (await office.kinds()).count("tool.put") == 3
    assert (await office.kinds()).count("tool.deleted") == 1


async def test_a_fact_of_a_source_that_is_not_configured_gets_a_warning(office):
    facts = {"order": {**REFUND["facts"]["order"], "source": "warehouse"}}
    put = await office.admin.tools.put(OPERATOR, [document(facts=facts)])
    assert any("warehouse" in warning for warning in put.warnings)


async def test_a_deleted_tool_is_out_and_needs_a_reason_and_to_be_there(office):
    await office.admin.tools.put(OPERATOR, [document()])
    with pytest.raises(MalformedRequest):
        await office.admin.tools.delete(OPERATOR, "refund", reason=" ")
    await office.admin.tools.delete(OPERATOR, "refund", reason="retired")
    with pytest.raises(NotFound):
        await office.admin.tools.delete(OPERATOR, "refund", reason="again")
    assert office.room.current().tools == {}


async def test_a_tool_that_the_policy_in_force_reads_cannot_leave_under_it(office):
    await office.admin.tools.put(OPERATOR, [document()])
    await office.admin.policies.activate(OPERATOR, {"money/rule": b"needs refund"})
    with pytest.raises(MalformedRequest, match="undefined schema of refund"):
        await office.admin.tools.delete(OPERATOR, "refund", reason="retired")
    with pytest.raises(MalformedRequest, match="undefined schema of refund"):
        await office.admin.tools.put(OPERATOR, [document(name="other")], replace_all=True)
    assert set(office.room.current().tools) == {"refund"}


async def test_a_tool_that_writes_what_a_trusted_one_reads_gets_a_warning_that_names_both(office):
    trusted = {"trust": "trusted", "sensitivity": "none"}
    reading = document(name="read_page", output=trusted, stores={"reads": ["wiki"], "writes": []})
    writing = document(name="edit_page", output={}, stores={"reads": [], "writes": ["wiki"]})
    put = await office.admin.tools.put(OPERATOR, [reading])
    assert not any("counts as untrusted" in warning for warning in put.warnings)
    put = await office.admin.tools.put(OPERATOR, [writing])
    (told,) = [warning for warning in put.warnings if "counts as untrusted" in warning]
    assert told.startswith("read_page: /output/trust: ")
    assert "edit_page" in told
    assert office.room.current().tools["read_page"].output.trust == "untrusted"
