"""The page on sandboxes says what the code has: profiles, settings, probes, and what is open."""

import json
import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from broker.core.manifest import parse
from sandboxes import profiles
from sandboxes.egress import lint
from sandboxes.egress.credentials import Credential
from sandboxes.images.folder import run_findings
from sandboxes.profile import Profile
from sandboxes.settings import CredentialSettings, SandboxdSettings
from sandboxes.strict_yaml import read_yaml
from tests.attacks.sandbox.prober import all_probes
from tests.attacks.sandbox.test_controls_taken_out import CONTROLS, OF_X86
from tests.docs.pages import ROOT, blocks, sections

PAGE = ROOT / "docs" / "sandboxes.md"
ATTACKS = ROOT / "tests" / "attacks" / "sandbox"
EXPECTED = sorted((ATTACKS / "expected").glob("*.yaml"))
ESCAPES = sorted((ATTACKS / "expected" / "escape").glob("*.yaml"))
UNDER_RUNC = {"strict", "compute", "egress"}

_PROBE = re.compile(r"`((?:id|fs|code|ns|k|net|proc|res)\.\w+)`")
_SETTING = re.compile(r"^\| `[a-zA-Z_.]+` \|.*$", re.MULTILINE)
_PROFILE = re.compile(r"^\| `[a-z]+` \|(?: [^|]+\|){12}$", re.MULTILINE)
_MIB = 1 << 20


def section(heading: str) -> str:
    return sections(PAGE)[heading]


def test_every_probe_stands_beside_the_control_that_stops_it_or_is_said_to_be_open():
    stopped = _PROBE.findall(section("What each control stops"))
    open_under_runc = _PROBE.findall(section("What remains open").partition("Under `gvisor`")[0])
    assert sorted({name for name in stopped if stopped.count(name) > 1}) == []
    assert sorted(set(stopped) & set(open_under_runc)) == []
    assert set(stopped) | set(open_under_runc) == set(all_probes())


def test_the_page_says_how_many_probes_there_are():
    assert f"{len(all_probes())} of them" in section("What each control stops")


def test_every_probe_that_a_missing_control_lets_through_is_beside_a_control():
    stopped = set(_PROBE.findall(section("What each control stops")))
    assert {name for control in (*CONTROLS, *OF_X86) for name in control.opens} <= stopped


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.stem)
def test_what_is_expected_to_be_open_is_named_and_nothing_else(expected):
    ours, _, gvisor = section("What remains open").partition("Under `gvisor`")
    said = set(_PROBE.findall(ours if expected.stem in UNDER_RUNC else gvisor))
    listed = read_yaml(expected.read_bytes())
    open_ones = {name for kind in ("open", "ended", "varies") for name in listed.get(kind, {})}
    assert said == open_ones


@pytest.mark.parametrize("expected", ESCAPES, ids=lambda path: path.stem)
def test_what_others_programs_find_is_named(expected):
    named = set(re.findall(r"`([\w.]+)`", section("What others' programs find")))
    listed = read_yaml(expected.read_bytes())
    assert {name for reasons in listed.values() for name in reasons} <= named


def test_every_attack_around_the_container_is_named():
    named = set(re.findall(r"`(test_\w+\.py)`", section("What each control stops")))
    missing = named - {path.name for path in ATTACKS.glob("test_*.py")}
    assert missing == set()


def test_the_table_of_profiles_is_that_of_the_shipped_ones():
    rows = [_row(profile) for _, profile in sorted(profiles.shipped().items())]
    assert _PROFILE.findall(section("Profiles")) == rows, "\n".join(rows)


def _row(profile: Profile) -> str:
    cells = (
        f"`{profile.name}`",
        "the host's" if profile.runtime == "runc" else "gVisor's",
        "none" if profile.isolated else "listed hosts",
        f"{profile.cpus:g}",
        f"{profile.cpu_s_max} s",
        f"{profile.wall_s_max:g} s",
        f"{profile.memory_bytes // _MIB} MiB",
        str(profile.processes_max),
        str(profile.open_files_max),
        f"{profile.file_bytes_max // _MIB} MiB",
        f"{profile.scratch_bytes // _MIB} MiB, {profile.scratch_inodes} files",
        f"{profile.output_bytes_max // _MIB} MiB, {profile.depth_max} deep",
        f"{profile.files_max} of {profile.files_bytes_max // _MIB} MiB",
    )
    return f"| {' | '.join(cells)} |"


def test_the_table_of_settings_is_that_of_the_node():
    rows = [*_settings(SandboxdSettings, ""), *_settings(CredentialSettings, "credentials.NAME.")]
    assert _SETTING.findall(section("Settings of a node")) == rows, "\n".join(rows)


def _settings(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if name != "credentials":
            yield f"| `{prefix}{name}` | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    default = None if field.is_required() else field.get_default()
    if default is None or default == "":
        return ""
    plain = default if isinstance(default, (bool, int, float, str)) else str(default)
    return f"`{plain}`" if isinstance(plain, str) else f"`{json.dumps(plain)}`"


def test_the_way_out_on_the_page_is_a_profile_without_findings():
    (document,) = [_yaml(text) for text in _texts("yaml") if "egress:" in text]
    profile = profiles.parse(document)
    assert profile.egress is not None
    credential = Credential(
        name="rates", hosts=("rates.example.com",), file=ROOT, header="Authorization"
    )
    assert lint.findings(profile.egress, {"rates": credential}) == ()


def test_the_tool_on_the_page_is_a_tool():
    (document,) = [_yaml(text) for text in _texts("yaml") if "runner: sandbox" in text]
    image = {"image": f"sha256:{'0' * 64}"}
    manifest = parse({**document, "sandbox": {**image, **document["sandbox"]}})
    (source,) = _texts("python")
    taken, required = manifest.arguments["properties"], manifest.arguments["required"]
    assert run_findings(source.encode(), taken=tuple(taken), required=tuple(required)) == []


def _texts(kind: str) -> list[str]:
    return [block.text for block in blocks(PAGE) if block.kind == kind]


def _yaml(text: str):
    return read_yaml(text.encode())
