"""A build is flawed unless a release of its line, or its distribution, mended it."""

import pytest

from sandboxes.known_flaws import FLAWS, flaws_of, release_of


def _names(part, version):
    return {name for flaw in flaws_of(part, version) for name in flaw.names}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.1.4-0ubuntu1", {"CVE-2024-21626", "CVE-2025-31133", "CVE-2026-41579"}),
        ("1.1.5+ds1-1", {"CVE-2024-21626", "CVE-2025-31133", "CVE-2026-41579"}),
        ("1.1.5+ds1-1+deb12u1", {"CVE-2025-31133", "CVE-2026-41579"}),
        ("1.1.5+ds1-1+deb12u2", {"CVE-2025-31133", "CVE-2026-41579"}),
        ("v1.1.12-0-g51d5e94", {"CVE-2025-31133", "CVE-2026-41579"}),
        ("1.2.7", {"CVE-2025-31133", "CVE-2026-41579"}),
        ("1.2.8", {"CVE-2026-41579"}),
        ("v1.3.3-0-gd842d77", {"CVE-2026-41579"}),
        ("1.3.6", set()),
        ("1.4.2", {"CVE-2026-41579"}),
        ("1.4.3", set()),
        ("1.5.0-rc.1", {"CVE-2026-41579"}),
        ("1.5.0", set()),
        ("2.0.0", set()),
    ],
)
def test_a_runc_is_judged_by_its_own_line_of_releases(version, expected):
    leading = {"CVE-2024-21626", "CVE-2025-31133", "CVE-2026-41579"}

    assert _names("runc", version) & leading == expected


@pytest.mark.parametrize(
    ("version", "flawed"),
    [
        ("20.10.24+dfsg1", True),
        ("23.0.10", True),
        ("23.0.11", False),
        ("24.0.9", True),
        ("25.0.5", False),
        ("26.0.0", False),
        ("28.2.2", False),
    ],
)
def test_an_engine_whose_line_was_never_mended_is_flawed(version, flawed):
    assert ("CVE-2024-29018" in _names("engine", version)) is flawed


def test_a_distributions_build_counts_only_for_the_flaws_that_it_mended():
    assert _names("containerd", "1.6.20~ds1-1+deb12u1") == {"CVE-2024-40635", "CVE-2024-25621"}
    assert _names("containerd", "1.6.20~ds1-1+deb12u3") == set()
    assert _names("containerd", "1.6.38") == {"CVE-2024-25621"}


@pytest.mark.parametrize("version", ["", "unknown", "HEAD"])
def test_a_version_that_nobody_can_read_has_every_flaw(version):
    assert len(flaws_of("runc", version)) == len([f for f in FLAWS if f.part == "runc"])


def test_each_flaw_has_a_source_and_its_fixes_in_order():
    for flaw in FLAWS:
        fixes = [release_of(fix) for fix in flaw.fixed]
        assert None not in fixes
        assert fixes == sorted(fixes)
        assert flaw.source.startswith("https://")
        assert all(name.startswith("CVE-") for name in flaw.names)
