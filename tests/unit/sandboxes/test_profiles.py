"""Profiles are read whole, named by their digest, and stand in for another only where as tight."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes import profiles
from sandboxes.engine import EngineFacts
from sandboxes.profile import Egress, EgressRule, Profile
from sandboxes.profiles import (
    ProfileRefused,
    digest,
    parse,
    read,
    shipped,
    tightens,
    unavailable_because,
)
from sandboxes.strict_yaml import YamlRefused, read_yaml
from sandboxes.tightness import LIMITS

MINIMAL = {"name": "own", "description": "As small as it gets."}


def facts(**changed: Any) -> EngineFacts:
    given_: dict[str, Any] = {
        "engine_id": "E", "version": "20.10", "api_version": "1.41", "architecture": "x86_64",
        "kernel": "6.1", "runtimes": ("runc", "runsc"), "cgroup_version": 2,
        "security": ("name=seccomp,profile=default",), "runtime_versions": {},
    }  # fmt: skip
    return EngineFacts(**(given_ | changed))


def refused(document: Any) -> dict[str, str]:
    with pytest.raises(ProfileRefused) as caught:
        parse(document)
    return {finding.where: finding.message for finding in caught.value.findings}


def test_four_profiles_are_shipped_and_strict_is_the_tightest_of_runc():
    there = shipped()
    assert set(there) == {"strict", "compute", "egress", "gvisor"}
    assert [name for name, p in there.items() if tightens(there["strict"], p)] == [
        "compute", "egress", "strict",
    ]  # fmt: skip
    assert [name for name, p in there.items() if tightens(p, there["strict"])] == [
        "gvisor", "strict",
    ]  # fmt: skip
    assert [name for name, p in there.items() if not p.isolated] == ["egress"]


def test_no_shipped_profile_lets_anything_out():
    for profile in shipped().values():
        if profile.egress is not None:
            assert profile.egress.rules == ()
            assert profile.egress.private_addresses == ()


def test_what_is_left_out_is_as_the_schema_says():
    profile = parse(MINIMAL)
    told = profiles.SCHEMA["properties"]
    for name in (*LIMITS, "runtime"):
        assert getattr(profile, name) == told[name]["default"], name
    egress = parse(MINIMAL | {"egress": {"rules": [{"host": "api.example.com"}]}}).egress
    assert egress is not None
    assert egress == Egress(rules=(EgressRule(host="api.example.com"),))
    (rule,) = egress.rules
    told = profiles.SCHEMA["properties"]["egress"]["properties"]
    for field in dataclasses.fields(Egress):
        if field.name not in {"rules", "private_addresses"}:
            assert getattr(egress, field.name) == told[field.name]["default"]
    for name, said in told["rules"]["items"]["properties"].items():
        if name not in {"host", "methods", "query", "headers"}:
            assert getattr(rule, name) == said["default"]


def test_the_schema_is_sound_and_tells_an_editor_what_each_field_means():
    jsonschema.Draft202012Validator.check_schema(profiles.SCHEMA)
    fields = {f.name for f in dataclasses.fields(Profile)} - {"digest", "document"}
    assert set(profiles.SCHEMA["properties"]) == fields
    assert all(each["description"] for each in profiles.SCHEMA["properties"].values())


def test_a_rule_may_say_everything_that_the_proxy_knows():
    rule = {
        "host": "{/shop}.example.com", "port": 8443, "methods": ["GET", "POST"],
        "path": "/orders/{/id}/*", "query": {"page": "*"}, "headers": ["x-trace"],
        "credential": "shop",
    }  # fmt: skip
    egress = parse(MINIMAL | {"egress": {"rules": [rule], "requests_max": 3}}).egress
    assert egress is not None
    assert egress.requests_max == 3
    (read_rule,) = egress.rules
    assert read_rule.query == (("page", "*"),)
    assert read_rule.headers == ("x-trace",)
    assert {f.name for f in dataclasses.fields(EgressRule)} == set(
        profiles.SCHEMA["properties"]["egress"]["properties"]["rules"]["items"]["properties"]
    )


def test_all_that_is_wrong_is_said_at_once_each_with_its_place():
    found = refused(
        {
            "name": "Strict!",
            "cpus": 0,
            "memory": 1,
            "processes_max": 1.5,
            "egress": {"rules": [{"host": "x", "port": 70000, "methods": ["get"]}]},
        }
    )
    assert {"/name", "/cpus", "/processes_max", "", "/egress/rules/0/port"} <= set(found)
    assert "Processors" in found["/cpus"]
    assert "/egress/rules/0/methods/0" in found


@pytest.mark.parametrize(
    ("changed", "where", "says"),
    [
        ({"scratch_bytes": 256 << 20}, "/scratch_bytes", "memory_bytes"),
        ({"files_bytes_max": 17 << 20}, "/files_bytes_max", "scratch_bytes"),
        ({"runtime": "gvisor", "egress": {"rules": []}}, "/egress", "runc"),
        ({"egress": {"rules": [], "private_addresses": ["10.1.2.3/16"]}},
         "/egress/private_addresses/0", "10.1.0.0/16"),
        ({"privileged": True}, "", "privileged"),
        ({"egress": {"rules": [{"host": "x", "mount": "/"}]}}, "/egress/rules/0", "mount"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_what_to_do(changed, where, says):
    assert says in refused(MINIMAL | changed)[where]


@pytest.mark.parametrize("document", [None, [], "strict", 7])
def test_what_is_no_document_is_refused(document):
    assert refused(document)


def test_a_digest_covers_all_that_a_profile_comes_to():
    own = parse(MINIMAL)
    assert own.digest.startswith("sha256:")
    assert parse(MINIMAL | {"cpus": 0.5}).digest == own.digest, "a default written out is the same"
    others = [
        MINIMAL | {"name": "other"},
        MINIMAL | {"description": "Else."},
        MINIMAL | {"cpus": 0.4},
        MINIMAL | {"runtime": "gvisor"},
        MINIMAL | {"egress": {"rules": []}},
        MINIMAL | {"egress": {"rules": [{"host": "a.example.com"}]}},
    ]
    assert len({own.digest, *(parse(each).digest for each in others)}) == len(others) + 1


def test_a_digest_changes_with_the_controls_and_the_lists():
    own = parse(MINIMAL)
    controls, lists = {"ReadonlyRootfs": True}, {"x86_64": "{}"}
    named = digest(own, controls=controls, lists=lists)
    assert named == digest(dataclasses.replace(own, digest=""), controls=controls, lists=lists)
    assert named != digest(own, controls={"ReadonlyRootfs": False}, lists=lists)
    assert named != digest(own, controls=controls, lists={"x86_64": "[]"})
    assert named != own.digest


def test_an_operators_own_profile_stands_beside_the_shipped_ones(tmp_path: Path):
    (tmp_path / "own.yaml").write_text(json.dumps(MINIMAL))
    (tmp_path / "README.md").write_text("not a profile")
    assert set(read(tmp_path)) == {*shipped(), "own"}


def test_a_shipped_name_may_be_tightened_and_never_loosened(tmp_path: Path):
    strict = dict(shipped()["strict"].document)
    (tmp_path / "strict.yaml").write_text(json.dumps(strict | {"memory_bytes": 128 << 20}))
    assert read(tmp_path)["strict"].memory_bytes == 128 << 20
    (tmp_path / "strict.yaml").write_text(json.dumps(strict | {"wall_s_max": 31}))
    with pytest.raises(ProfileRefused, match=r"strict\.yaml/name: .*a name of its own"):
        read(tmp_path)


def test_every_file_that_is_wrong_is_named(tmp_path: Path):
    (tmp_path / "one.yaml").write_text(json.dumps(MINIMAL))
    (tmp_path / "two.yaml").write_text("name: [")
    (tmp_path / "three.yaml").write_text("name: three\ncpus: 1")
    (tmp_path / "four.yaml").write_text("name: four\nname: five")
    with pytest.raises(ProfileRefused) as caught:
        read(tmp_path)
    files = [finding.where for finding in caught.value.findings]
    assert files == ["four.yaml", "one.yaml/name", "three.yaml", "two.yaml"]
    assert "own.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a: &x 1\nb: *x", "alias"),
        (b"a: !!python/object:os.system x", "tag"),
        (b"a: 1\na: 2", "twice"),
        (b"1: a", "quotes"),
        (b"\xff", "UTF-8"),
        (b"a: [" * 100, "deeply"),
        (b"x" * 70_000, "longer"),
    ],
)
def test_yaml_that_two_readers_could_read_apart_is_refused(text, says):
    with pytest.raises(YamlRefused, match=says):
        read_yaml(text, bytes_max=65_536)


def test_yaml_reads_no_truth_date_or_octal_number_into_plain_words():
    assert read_yaml(b"[yes, 2024-01-01, 010, 1_000, .5, 0.5, 12, ~]") == [
        "yes", "2024-01-01", "010", "1_000", ".5", 0.5, 12, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("profile", "changed", "says"),
    [
        ("strict", {}, ""),
        ("gvisor", {}, ""),
        ("gvisor", {"runtimes": ("runc",)}, "--add-runtime runsc=/usr/bin/runsc"),
        ("strict", {"runtimes": ("runsc",)}, "no runtime runc"),
        ("strict", {"architecture": "riscv64"}, "x86_64 or aarch64"),
        ("strict", {"security": ()}, "docker info"),
        ("strict", {"security": ("name=seccomper",)}, "docker info"),
        ("strict", {"limits_missing": ("pids", "swap")}, "pids, swap"),
        ("strict", {"cgroup_version": 1, "security": ("name=seccomp", "name=rootless")}, "v2"),
    ],
)
def test_an_engine_that_cannot_give_a_profile_is_told_why(profile, changed, says):
    reason = unavailable_because(shipped()[profile], facts(**changed))
    assert says in reason
    assert bool(says) == bool(reason)


# A few values each, so that pairs that tighten one another are met often.
HOSTS = ["api.example.com", "b.example.com", "*.example.com", "{/shop}.example.com"]
PATHS = ["/", "/a", "/a/b", "/a/*", "/*", "/{/id}", "/a/{/id}/*"]
RULES = st.builds(
    EgressRule,
    host=st.sampled_from(HOSTS),
    path=st.sampled_from(PATHS),
    methods=st.sampled_from([("GET",), ("GET", "POST")]),
    query=st.sampled_from([(), (("q", "*"),), (("q", "{/q}"),)]),
    headers=st.sampled_from([(), ("x-a",)]),
    credential=st.sampled_from(["", "shop", "mail"]),
)
EGRESS = st.none() | st.builds(
    Egress,
    rules=st.lists(RULES, max_size=3).map(tuple),
    requests_max=st.sampled_from([8, 16]),
    private_addresses=st.sampled_from([(), ("10.0.0.0/8",), ("10.1.0.0/16",), ("fd00::/8",)]),
)
PROFILES = st.builds(
    Profile,
    name=st.sampled_from(["one", "two"]),
    description=st.just("Any."),
    runtime=st.sampled_from(["runc", "gvisor"]),
    cpus=st.sampled_from([0.5, 1]),
    memory_bytes=st.sampled_from([1 << 28, 1 << 29]),
    files_max=st.sampled_from([4, 8]),
    egress=EGRESS,
)
LIKELY = st.one_of(PROFILES, st.sampled_from(list(shipped().values())))


@given(LIKELY)
def test_each_profile_is_as_tight_as_itself(one):
    assert tightens(one, one)


@given(LIKELY, LIKELY, LIKELY)
def test_what_is_tighter_than_something_tighter_is_tighter(one, two, three):
    if tightens(one, two) and tightens(two, three):
        assert tightens(one, three)


@given(RULES, RULES, RULES)
def test_so_it_is_of_single_rules(one, two, three):
    first, second, third = (with_rules(rule) for rule in (one, two, three))
    if tightens(first, second) and tightens(second, third):
        assert tightens(first, third)


@given(LIKELY, LIKELY)
def test_two_that_tighten_each_other_have_the_same_bounds(one, two):
    if tightens(one, two) and tightens(two, one):
        assert [getattr(one, n) for n in LIMITS] == [getattr(two, n) for n in LIMITS]
        assert (one.runtime, one.isolated) == (two.runtime, two.isolated)


@given(PROFILES, st.sampled_from(LIMITS))
def test_one_greater_limit_is_enough_to_be_no_stand_in(one, name):
    looser = dataclasses.replace(one, **{name: getattr(one, name) * 2})
    assert tightens(one, looser)
    assert not tightens(looser, one)


def with_rules(*rules: EgressRule) -> Profile:
    return Profile(name="x", description="x", egress=Egress(rules=rules))


@pytest.mark.parametrize(
    ("one", "two", "within"),
    [
        ({"host": "api.example.com"}, {"host": "*.example.com"}, True),
        ({"host": "a.b.example.com"}, {"host": "*.example.com"}, False),
        ({"host": "{/x}.example.com"}, {"host": "*.example.com"}, True),
        ({"host": "*.example.com"}, {"host": "{/x}.example.com"}, False),
        ({"host": "example.com"}, {"host": "*.example.com"}, False),
        ({"path": "/a/b"}, {"path": "/a/*"}, True),
        ({"path": "/a"}, {"path": "/a/*"}, False),
        ({"path": "/a/{/id}"}, {"path": "/a/*"}, True),
        ({"path": "/a/{/id}"}, {"path": "/a/{/id}"}, True),
        ({"path": "/a/{/id}"}, {"path": "/a/{/other}"}, False),
        ({"path": "/a/*"}, {"path": "/*"}, True),
        ({"path": "/ab"}, {"path": "/a/*"}, False),
        ({"methods": ("GET",)}, {"methods": ("GET", "POST")}, True),
        ({"methods": ("POST",)}, {"methods": ("GET",)}, False),
        ({"query": ()}, {"query": (("q", "*"),)}, True),
        ({"query": (("q", "{/q}"),)}, {"query": (("q", "*"),)}, True),
        ({"query": (("q", "*"),)}, {"query": (("q", "{/q}"),)}, False),
        ({"headers": ("x-a",)}, {}, False),
        ({"port": 8443}, {}, False),
        ({"scheme": "http", "port": 443}, {}, False),
        ({"credential": ""}, {"credential": "shop"}, True),
        ({"credential": "shop"}, {"credential": ""}, False),
        ({"credential": "shop"}, {"credential": "mail"}, False),
    ],
)
def test_a_rule_is_within_another_only_where_its_text_shows_it(one, two, within):
    base = {"host": "api.example.com"}
    assert (
        tightens(with_rules(EgressRule(**(base | one))), with_rules(EgressRule(**(base | two))))
        is within
    )


def test_a_rule_behind_one_with_another_credential_gives_no_right_to_its_own():
    shop = EgressRule(host="api.example.com", credential="shop")
    plain = EgressRule(host="*.example.com")
    other = EgressRule(host="mail.example.com", credential="mail")
    assert not tightens(with_rules(shop), with_rules(plain, shop))
    assert tightens(with_rules(shop), with_rules(other, shop))
    assert tightens(with_rules(shop), with_rules(shop, plain))
