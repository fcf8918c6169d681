"""I have the engine answer from other rules than those that are in force.

I leave an old, laxer bundle where the engine loads it, take the family that denies me out of the
tree, or bring rules that speak in another family's name or for the entry point itself.
"""

import dataclasses

import pytest

from broker.core.errors import PolicyUnavailable
from broker.core.question_schema import EXAMPLE
from broker.policy.bundle import BundleRefused, PolicyBundle
from broker.policy.opa import Opa
from broker.policy.opa_process import SupervisedOpa
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family, opa

DENY_ALL = 'verdicts contains {"effect": "DENY", "code": "NO", "message": "No."}'


async def test_an_engine_that_loaded_an_older_bundle_never_starts_to_answer(tmp_path):
    lax, strict = bundle_of(family(ALLOW_ALL)), bundle_of(family(DENY_ALL))
    swapped = dataclasses.replace(strict, bundle=lax.bundle)
    with pytest.raises(PolicyUnavailable, match="POLICY_WRONG_REVISION"):
        await SupervisedOpa.start(swapped, opa=opa(), runtime_directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_an_answer_of_an_older_bundle_denies(tmp_path):
    lax, strict = bundle_of(family(ALLOW_ALL)), bundle_of(family(DENY_ALL))
    serving = await SupervisedOpa.start(lax, opa=opa(), runtime_directory=tmp_path)
    (folder,) = tmp_path.iterdir()
    token = serving._child.opa._client.headers["Authorization"].removeprefix("Bearer ")
    point = await Opa.over_socket(folder / "socket", token=token, revision=strict.revision)
    try:
        opinion = await point.evaluate(EXAMPLE, deadline_s=5)
    finally:
        await point.close()
        await serving.close()
    assert [verdict.code for verdict in opinion.verdicts] == ["POLICY_WRONG_REVISION"]


async def test_an_engine_that_cannot_load_its_bundle_never_starts_to_answer(tmp_path):
    broken = dataclasses.replace(bundle_of(family(ALLOW_ALL)), bundle=b"not a bundle")
    with pytest.raises(PolicyUnavailable, match="OPA did not start"):
        await SupervisedOpa.start(broken, opa=opa(), runtime_directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_an_engine_that_is_not_there_is_no_engine(tmp_path):
    with pytest.raises(PolicyUnavailable, match="OPA did not start"):
        await SupervisedOpa.start(
            bundle_of(family(ALLOW_ALL)), opa=tmp_path / "none", runtime_directory=tmp_path
        )
    assert list(tmp_path.iterdir()) == []


def test_a_family_cannot_be_taken_out_in_silence():
    before = bundle_of(family(ALLOW_ALL) | family(DENY_ALL, name="guard"))
    with pytest.raises(BundleRefused, match="guard: the family has vanished"):
        bundle_of(family(ALLOW_ALL), previous_families=before.families)


@pytest.mark.parametrize("package", ["broker.rules.guard", "broker.decision", "callbroker"])
def test_no_file_speaks_for_another_folder(package):
    smuggled = {"broker/rules/sample/more.rego": f"package {package}\n\nmine := 1\n"}
    with pytest.raises(BundleRefused, match="not that of its folder"):
        bundle_of(family(ALLOW_ALL) | family(DENY_ALL, name="guard") | smuggled)


def test_a_stored_bundle_with_other_rules_is_not_its_revision():
    lax, strict = bundle_of(family(ALLOW_ALL)), bundle_of(family(DENY_ALL))
    forged = dataclasses.replace(strict, files=lax.files)
    with pytest.raises(BundleRefused, match="not what its revision says"):
        PolicyBundle.from_bytes(forged.to_bytes())
