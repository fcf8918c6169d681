"""Profiles are YAML, checked whole, and named by a digest of all that they come to.

The digest covers the document with its defaults, every list of system calls and the fixed controls
of a container, so that two nodes which agree on it give the same isolation. An operator's profile
may take a shipped name only to tighten it: nothing that says `strict` is ever looser than strict.
"""

import hashlib
import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import jsonschema

from sandboxes import seccomp, spec
from sandboxes.engine import EngineFacts, security_names
from sandboxes.profile import Egress, EgressRule, Profile
from sandboxes.strict_yaml import YamlRefused, read_yaml
from sandboxes.tightness import tightens

__all__ = [
    "Finding",
    "ProfileRefused",
    "digest",
    "parse",
    "read",
    "shipped",
    "tightens",
    "unavailable_because",
]

FOLDER: Final = Path(__file__).with_name("profiles")
SCHEMA: Final[Mapping[str, Any]] = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
PROFILE_BYTES_MAX: Final = 65_536
_LISTS: Final = {name: seccomp.stored(name) for name in seccomp.ARCHITECTURES}
_VALIDATOR: Final = jsonschema.Draft202012Validator(SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        where: file, or JSON Pointer into the document; empty for all of it.
        message: what, and what to do.
    """

    where: str
    message: str


class ProfileRefused(ValueError):
    """It is no profile that this node takes; `findings` holds all that is wrong."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{f.where or 'profile'}: {f.message}" for f in findings))
        self.findings = tuple(findings)


def shipped() -> Mapping[str, Profile]:
    """Those that come with the service, by name."""
    return {
        path.stem: parse(read_yaml(path.read_bytes())) for path in sorted(FOLDER.glob("*.yaml"))
    }


def read(directory: Path) -> Mapping[str, Profile]:
    """The shipped ones, and `<name>.yaml` of an operator's folder over them.

    Raises:
        ProfileRefused: with what is wrong in all of its files.
        OSError: it cannot be read.
    """
    profiles, findings = dict(shipped()), list[Finding]()
    for path in sorted(directory.iterdir()):
        if path.suffix not in {".yaml", ".yml"}:
            continue
        try:
            profile = parse(read_yaml(path.read_bytes(), bytes_max=PROFILE_BYTES_MAX))
            _check_name(profile, path, profiles.get(profile.name))
        except YamlRefused as refused:
            findings.append(Finding(where=path.name, message=f"{refused}."))
        except ProfileRefused as refused:
            findings += [
                Finding(where=f"{path.name}{f.where}", message=f.message) for f in refused.findings
            ]
        else:
            profiles[profile.name] = profile
    if findings:
        raise ProfileRefused(findings)
    return profiles


def parse(document: Any) -> Profile:
    """Check one document.

    Raises:
        ProfileRefused: with all that is wrong with it.
    """
    findings = list(_of_schema(document)) or list(_of_sense(document))
    if findings:
        raise ProfileRefused(findings)
    egress = document.get("egress")
    given = {key: value for key, value in document.items() if key != "egress"}
    profile = Profile(
        **given, egress=None if egress is None else _egress(egress), document=document
    )
    named = digest(profile, controls=_controls(profile), lists=_LISTS)
    return replace(profile, digest=named)


def unavailable_because(profile: Profile, facts: EngineFacts) -> str:
    """Why an engine cannot give it, in a sentence that says what to do; empty where it can."""
    return next(_obstacles(profile, facts), "")


def _obstacles(profile: Profile, facts: EngineFacts) -> Iterator[str]:
    if facts.architecture not in seccomp.ARCHITECTURES:
        known = " or ".join(seccomp.ARCHITECTURES)
        yield (
            f"There is no list of system calls for {facts.architecture}: run this node on {known}."
        )
    named = security_names(facts.security)
    if "seccomp" not in named:
        yield (
            "The engine does not filter system calls: use one whose `docker info` names seccomp"
            " among its security options."
        )
    if facts.limits_missing:
        missing = ", ".join(facts.limits_missing)
        yield (
            f"The engine cannot limit {missing}: enable these cgroup controllers (for swap,"
            " boot the kernel with swapaccount=1) and restart it."
        )
    if "rootless" in named and facts.cgroup_version < 2:  # noqa: PLR2004
        yield "A rootless engine limits nothing under cgroup v1: boot the host with cgroup v2."
    runtime = spec.RUNTIMES[profile.runtime]
    if runtime not in facts.runtimes:
        yield _HOW_TO_GET[runtime]


_HOW_TO_GET: Final = {
    "runc": "The engine has no runtime runc: install it and restart the engine.",
    "runsc": (
        "The engine has no runtime runsc: install gVisor (Debian: apt-get install runsc), start"
        " dockerd with --add-runtime runsc=/usr/bin/runsc, and restart this service."
    ),
}


def _check_name(profile: Profile, path: Path, present: Profile | None) -> None:
    if path.stem != profile.name:
        raise ProfileRefused(
            [_at("/name", f"It is in {path.name}; the file is {profile.name}.yaml.")]
        )
    if present is not None and not tightens(profile, present):
        raise ProfileRefused(
            [
                _at(
                    "/name",
                    f"It is not as tight as the {profile.name} that it would stand in for: give it"
                    " a name of its own.",
                )
            ]
        )


def _of_schema(document: Any) -> Iterator[Finding]:
    for error in sorted(_VALIDATOR.iter_errors(document), key=lambda e: list(map(str, e.path))):
        pointer = "".join(f"/{step}" for step in error.absolute_path)
        yield _at(pointer, f"{_said(error)}{_wanted(error)}")


def _said(error: jsonschema.ValidationError) -> str:
    text = error.message.replace("\n", " ")
    return f"{text[:200].rstrip('.')}."


def _wanted(error: jsonschema.ValidationError) -> str:
    schema = error.schema
    wanted = schema.get("description", "") if isinstance(schema, Mapping) else ""
    return f" {wanted}" if wanted and error.absolute_path else ""


def _of_sense(document: Mapping[str, Any]) -> Iterator[Finding]:
    def value(name: str) -> Any:
        return document.get(name, Profile.__dataclass_fields__[name].default)

    if value("scratch_bytes") >= value("memory_bytes"):
        yield _at("/scratch_bytes", "It is taken from memory_bytes: make it less than that.")
    if value("files_bytes_max") > value("scratch_bytes"):
        yield _at("/files_bytes_max", "Files lie in the scratch space: at most scratch_bytes.")
    egress = document.get("egress")
    if egress is None:
        return
    if value("runtime") == "gvisor":
        yield _at(
            "/egress",
            "gVisor opens no socket of the host's: take runtime runc, or leave egress out.",
        )
    for index, block in enumerate(egress.get("private_addresses", ())):
        try:
            ipaddress.ip_network(block)
        except ValueError as error:
            yield _at(
                f"/egress/private_addresses/{index}", f"{error}: write a block such as 10.1.0.0/16."
            )


def _at(where: str, message: str) -> Finding:
    return Finding(where=where, message=message)


def _egress(given: Mapping[str, Any]) -> Egress:
    plain = {k: v for k, v in given.items() if k not in {"rules", "private_addresses"}}
    return Egress(
        **plain,
        rules=tuple(_rule(each) for each in given.get("rules", ())),
        private_addresses=tuple(given.get("private_addresses", ())),
    )


def _rule(given: Mapping[str, Any]) -> EgressRule:
    plain = {k: v for k, v in given.items() if k not in {"methods", "headers", "query"}}
    return EgressRule(
        **plain,
        methods=tuple(given.get("methods", ("GET",))),
        headers=tuple(given.get("headers", ())),
        query=tuple(given.get("query", {}).items()),
    )


def digest(profile: Profile, *, controls: Mapping[str, Any], lists: Mapping[str, str]) -> str:
    """What names a profile.

    Args:
        profile: all of it but digest and document counts.
        controls: the body of its containers, with nothing in it that differs among them.
        lists: of system calls, by architecture.
    """
    said = asdict(profile)
    del said["digest"], said["document"]
    whole = {"profile": said, "controls": controls, "seccomp": lists}
    canonical = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _controls(profile: Profile) -> dict[str, Any]:
    way = None if profile.isolated else Path(spec.EGRESS_TARGET)
    return spec.body(profile, image="sha256:", uid=1, seccomp="", labels={}, egress_directory=way)
