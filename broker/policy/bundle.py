"""A bundle is immutable and named by its sources' digest; one that cannot decide is refused.

OPA itself loads much more than we want (a network client, the clock, the environment) and starts
happily with nothing in it. So everything is decided here, before a revision exists: the tree's
layout, the packages that it may declare, the built-ins that it may call, the input that it may
read, the families that must be there, and one question that the entry point must answer.
"""

import base64
import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from broker import __version__
from broker.core.arguments import JsonValue
from broker.core.canonical import content_digest
from broker.core.question_schema import EXAMPLE
from broker.policy import opa_command
from broker.policy.lint import trap_findings
from broker.policy.opa_command import ENTRY_POINT, CommandRefused
from broker.policy.opinion import opinion_of
from broker.policy.schemas import ToolSchemas, write_schemas
from broker.policy.sources import (
    Sources,
    data_document,
    library_directory,
    merged,
    read_sources,
)
from broker.ports import Library

DEFAULT_PRESET: Final = "balanced"
_FORMAT: Final = 1
_CAPABILITIES: Final = "capabilities.json"
_TERMS_FILE: Final = "callbroker/data.json"
_ROOTS: Final[list[JsonValue]] = ["broker", "callbroker", "lib", "parameters"]
_TERMS: Final[Mapping[str, type]] = {
    "reviewers": list,
    "approvals_required": int,
    "decide_within_s": int,
    "run_within_s": int,
    "step_up": bool,
}


class BundleRefused(ValueError):
    """These sources do not make a bundle.

    Attributes:
        findings: one sentence each, naming file and line where they are known.
    """

    def __init__(self, findings: Iterable[str]) -> None:
        self.findings: tuple[str, ...] = tuple(findings)
        super().__init__("; ".join(self.findings))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBundle:
    """One revision of policy.

    Attributes:
        revision: `sha256:…` of `files`.
        files: the sources, cases included, by their path in the bundle.
        families: the rule families that must speak or the answer is DENY, sorted.
        bundle: what OPA loads, a gzipped tar.
    """

    revision: str
    files: Mapping[str, bytes]
    families: tuple[str, ...]
    bundle: bytes

    @property
    def library(self) -> Library | None:
        """The shipped library that it was built with; None where it does not say."""
        told = self._terms().get("library")
        if not isinstance(told, dict):
            return None
        return Library(version=str(told.get("version", "")), digest=str(told.get("digest", "")))

    @property
    def preset(self) -> str:
        """The name of its defaults; empty where it does not say."""
        return str(self._terms().get("preset", ""))

    def _terms(self) -> dict[str, JsonValue]:
        """What the entry point reads; `files` are those of a revision, so it is well formed."""
        terms: dict[str, JsonValue] = json.loads(self.files[_TERMS_FILE])
        return terms

    def to_bytes(self) -> bytes:
        """A stored form; the same bundle always gives the same bytes."""
        document = {
            "format": _FORMAT,
            "revision": self.revision,
            "families": list(self.families),
            "files": {path: _text(data) for path, data in self.files.items()},
            "bundle": _text(self.bundle),
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> "PolicyBundle":
        """Read the stored form.

        Raises:
            BundleRefused: it is no stored bundle, or its sources are not those of its revision.
        """
        try:
            document = json.loads(data)
            told = (document["format"], document["revision"], document["families"])
            files = {str(path): _bytes(text) for path, text in document["files"].items()}
            families = [str(family) for family in json.loads(files[_TERMS_FILE])["families"]]
            found = cls(
                revision=revision_of(files),
                files=files,
                families=tuple(families),
                bundle=_bytes(document["bundle"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BundleRefused(["this is not a stored bundle"]) from error
        if told != (_FORMAT, found.revision, families):
            raise BundleRefused(["the stored bundle is not what its revision says"])
        if _CAPABILITIES not in files or not all(_is_inside(path) for path in files):
            raise BundleRefused(["the stored bundle has files that no bundle has, or lacks one"])
        return found


def build(
    *,
    opa: Path,
    directory: Path | None = None,
    tools: Mapping[str, ToolSchemas] | None = None,
    preset: str = DEFAULT_PRESET,
    previous_families: Iterable[str] = (),
    dropped: Iterable[str] = (),
    library: Path | None = None,
) -> PolicyBundle:
    """Check the sources and build the bundle. Blocks for some tenths of a second: use a thread.

    Args:
        opa: the pinned binary.
        directory: the operator's own tree, laid over the shipped library.
        tools: what rules may read of each registered tool; with none, paths below arguments, facts
            and usage are not checked.
        preset: the name of the defaults.
        previous_families: those of the revision that this one follows.
        dropped: those of them that an operator says are to go.
        library: the shipped library; another one only in tests.

    Raises:
        BundleRefused: with every finding that could be made.
        PolicyUnavailable: OPA cannot be run.
        OSError: the sources cannot be read.
    """
    library = library or library_directory()
    sources = read_sources(library, directory)
    findings = [*sources.findings, *_family_findings(sources, set(previous_families), set(dropped))]
    chosen, preset_findings = _preset(sources, preset)
    findings += preset_findings
    if findings:
        raise BundleRefused(findings)
    files = _files(sources, chosen, preset, library)
    revision = revision_of(files)
    with tempfile.TemporaryDirectory(prefix="callbroker-bundle-") as scratch:
        bundle = _compile(Path(scratch), files, revision, opa=opa, tools=tools or {})
    if trapped := trap_findings(opa, files, library=library, tools=tools or {}):
        raise BundleRefused(trapped)
    return PolicyBundle(
        revision=revision, files=files, families=tuple(sorted(sources.families)), bundle=bundle
    )


def rebuild(kept: PolicyBundle, *, opa: Path, tools: Mapping[str, ToolSchemas]) -> PolicyBundle:
    """Check a kept bundle's sources again, under these tools, and build them anew.

    What was built before is not trusted: the revision names the sources alone.

    Raises:
        BundleRefused: with every finding that could be made.
        PolicyUnavailable: OPA cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="callbroker-bundle-") as scratch:
        bundle = _compile(Path(scratch), kept.files, kept.revision, opa=opa, tools=tools)
    return replace(kept, bundle=bundle)


def revision_of(files: Mapping[str, bytes]) -> str:
    """The digest of a set of files: of the sorted lines `<sha256 of the file> <path>`."""
    lines = [f"{hashlib.sha256(files[path]).hexdigest()} {path}\n" for path in sorted(files)]
    return content_digest("".join(lines).encode("utf-8"))


def _family_findings(sources: Sources, previous: set[str], dropped: set[str]) -> list[str]:
    findings = [
        f"broker/rules/{family}: the family has vanished; "
        f"restore it, or drop it by name: --drop {family}"
        for family in sorted(previous - dropped - sources.families)
    ]
    findings += [
        f"broker/rules/{family}: dropped by name, but its rules are still there"
        for family in sorted(dropped & sources.families)
    ]
    findings += [
        f"parameters/{family}: there is no such family"
        for family in sorted(
            (sources.parameters.keys() | sources.own_parameters.keys()) - sources.families
        )
    ]
    if not sources.families:
        findings.append("broker/rules: no rule family at all")
    if not any(path.startswith("broker/decision/") for path in sources.modules):
        findings.append("broker/decision: the entry point is missing")
    return findings


def _preset(sources: Sources, name: str) -> tuple[Mapping[str, JsonValue], list[str]]:
    preset = sources.presets.get(name)
    if not isinstance(preset, dict):
        return {}, [f"presets/{name}.yaml: there is no such preset"]
    findings = []
    if preset.keys() - {"silence", "hold", "parameters"}:
        findings.append("only silence, hold and parameters have a meaning")
    if preset.get("silence") not in {"HOLD", "DENY"}:
        findings.append("silence is HOLD or DENY, never ALLOW")
    if not _terms_fit(preset.get("hold")):
        findings.append(f"hold needs {', '.join(_TERMS)}, with counts and seconds of at least 1")
    parameters = preset.get("parameters", {})
    if not isinstance(parameters, dict):
        findings.append("parameters is not a mapping")
    return preset, [f"presets/{name}.yaml: {finding}" for finding in findings]


def _terms_fit(terms: JsonValue) -> bool:
    if not isinstance(terms, dict) or terms.keys() != _TERMS.keys():
        return False
    reviewers = terms["reviewers"]
    if not isinstance(reviewers, list) or not reviewers:
        return False
    return all(isinstance(group, str) for group in reviewers) and all(
        type(terms[name]) is kind and (kind is not int or int(str(terms[name])) > 0)
        for name, kind in _TERMS.items()
    )


def _files(
    sources: Sources, chosen: Mapping[str, JsonValue], preset: str, library: Path
) -> dict[str, bytes]:
    families: list[JsonValue] = [*sorted(sources.families)]
    shipped = merged(dict(sources.parameters), chosen.get("parameters", {}))
    parameters = merged(shipped, dict(sources.own_parameters))
    terms: JsonValue = {
        "families": families,
        "preset": preset,
        "library": {"version": __version__, "digest": sources.library},
        "silence": chosen["silence"],
        "hold": chosen["hold"],
    }
    return {
        **sources.modules,
        **sources.companions,
        _CAPABILITIES: (library / _CAPABILITIES).read_bytes(),
        _TERMS_FILE: data_document(terms),
        "parameters/data.json": data_document(parameters),
    }


def _compile(
    scratch: Path,
    files: Mapping[str, bytes],
    revision: str,
    *,
    opa: Path,
    tools: Mapping[str, ToolSchemas],
) -> bytes:
    tree, schemas, capabilities = scratch / "tree", scratch / "schemas", scratch / "capabilities"
    write_schemas(schemas, tools, named_in=_texts(files))
    capabilities.write_bytes(files[_CAPABILITIES])
    _lay_out(tree, files, revision)
    try:
        opa_command.check(opa, tree=tree, schemas=schemas, capabilities=capabilities)
        _require_packages(opa_command.packages(opa, tree=tree))
        bundle = opa_command.build(
            opa, tree=tree, capabilities=capabilities, revision=revision, out=scratch / "bundle"
        )
        answer = opa_command.evaluate(opa, bundle=scratch / "bundle", question=EXAMPLE)
    except CommandRefused as refused:
        raise BundleRefused(refused.findings) from refused
    opinion = opinion_of(answer, revision=revision)
    if (code := opinion.verdicts[0].code).startswith("POLICY_"):
        raise BundleRefused([f"{ENTRY_POINT} does not answer: {code}"])
    silent = sorted(v.family for v in opinion.verdicts if v.code == "FAMILY_MISSING")
    if silent:
        raise BundleRefused(f"broker/rules/{family}: contributes no verdicts" for family in silent)
    misread = sorted(v.family for v in opinion.verdicts if v.code == "PARAMETERS_INVALID")
    if misread:
        raise BundleRefused(
            f"parameters/{family}: these mean nothing to the family" for family in misread
        )
    return bundle


def _texts(files: Mapping[str, bytes]) -> bytes:
    return b"\n".join(data for name, data in files.items() if name.endswith(".rego"))


def _lay_out(tree: Path, files: Mapping[str, bytes], revision: str) -> None:
    for name, data in files.items():
        if name == _CAPABILITIES or name.endswith(("_cases.yaml", "_test.rego")):
            continue
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    broker_data = json.loads(files[_TERMS_FILE])
    (tree / _TERMS_FILE).write_bytes(data_document({**broker_data, "revision": revision}))
    (tree / ".manifest").write_bytes(data_document({"roots": _ROOTS, "revision": revision}))


def _require_packages(packages: Mapping[str, list[str]]) -> None:
    """A file speaks for its own folder alone: nothing may be slipped into another's package."""
    findings = [
        f"{file}: package {package.removeprefix('data.')} is not that of its folder"
        for package, files in packages.items()
        for file in files
        if "data." + ".".join(PurePosixPath(file).parent.parts) != package
    ]
    if findings:
        raise BundleRefused(sorted(findings))


def _is_inside(path: str) -> bool:
    """Whether a stored path stays where it is laid out."""
    parts = PurePosixPath(path).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts and "\0" not in path


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
