"""What is committed is the project alone: no machine's paths, no registry's host."""

import re

from tests.project.checkout import tracked_texts

# Put together from parts, so that this file holds none of what it looks for.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("registry", "npmjs", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("static", "crates", "io"),
    )
]
MACHINE_FOLDERS = ["root", "home", "Users", "work", "opt/wheels", "tmp/" + "notes"]
MACHINE_PATH = re.compile(r"(?<![\w.~$})/-])/(?:" + "|".join(MACHINE_FOLDERS) + r")/[\w.]")
BESIDE = re.compile(r"\.\./" + r"shared\b")
THE_ONE_THAT_MAY_LOOK_BESIDE = ".ci/run"

MODULE_LINES_MAX = 400


def _found(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for name, text in tracked_texts()
        for match in pattern.finditer(text)
    ]


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    assert _found(MACHINE_PATH) == []


def test_no_tracked_file_names_the_host_of_a_package_registry() -> None:
    assert _found(re.compile("|".join(re.escape(host) for host in HOSTS))) == []


def test_only_the_ci_script_looks_beside_the_checkout() -> None:
    elsewhere = [
        hit for hit in _found(BESIDE) if not hit.startswith(f"{THE_ONE_THAT_MAY_LOOK_BESIDE}:")
    ]
    assert elsewhere == []


def test_no_module_is_longer_than_its_ceiling() -> None:
    long_ones = {
        name: lines
        for name, text in tracked_texts()
        if name.endswith(".py") and "/v1/" not in name
        if (lines := text.count("\n")) > MODULE_LINES_MAX
    }
    assert long_ones == {}
