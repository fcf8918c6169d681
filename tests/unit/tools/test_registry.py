"""Tools are registered whole or not at all."""

import pytest
import yaml

from broker.core.manifest import parse
from broker.tools.registry import RegistryRefused, build_registry, read_manifests
from tests.fakes.desk import ARGUMENTS, document


def write(directory, name: str, text: str) -> None:
    (directory / name).write_text(text, encoding="utf-8")


def test_a_directory_of_manifests_becomes_tools_by_name(tmp_path):
    write(tmp_path, "refund.yaml", yaml.safe_dump(document()))
    write(tmp_path, "other.yml", yaml.safe_dump(document(name="other")))
    write(tmp_path, ".draft.yaml", "not: [read")
    write(tmp_path, "README.md", "# Not a manifest")
    tools = build_registry(read_manifests(tmp_path))
    assert sorted(tools) == ["other", "refund"]
    assert tools["refund"].manifest.revision == parse(document()).revision
    assert tools["refund"].arguments.is_valid(ARGUMENTS)
    assert tools["refund"].result is not None


def test_every_broken_file_is_told(tmp_path):
    write(tmp_path, "a.yaml", "name: a\nname: b\n")
    write(tmp_path, "b.yaml", "[]")
    with pytest.raises(RegistryRefused) as refused:
        read_manifests(tmp_path)
    assert [finding.split(":")[0] for finding in refused.value.findings] == ["a.yaml", "b.yaml"]


def test_every_broken_manifest_is_told_with_its_file():
    documents = [("a.yaml", document(runner="mcp")), ("b.yaml", document(targets=["/x"]))]
    with pytest.raises(RegistryRefused) as refused:
        build_registry(documents)
    assert [finding.split(":")[0] for finding in refused.value.findings] == ["a.yaml", "b.yaml"]


def test_two_manifests_of_one_name_are_refused():
    with pytest.raises(RegistryRefused, match=r"b.yaml: /name: refund is in a.yaml already"):
        build_registry([("a.yaml", document()), ("b.yaml", document())])


def test_a_directory_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RegistryRefused, match="No such file"):
        read_manifests(tmp_path / "none")


def test_the_registry_cannot_be_changed():
    tools = build_registry([("a.yaml", document())])
    with pytest.raises(TypeError):
        tools["refund"] = None
