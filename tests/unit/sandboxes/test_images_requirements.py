"""Only exact wheels may be asked for: a version, a hash, nothing that decides at build time."""

import pytest

from sandboxes.images.refusals import BuildRefused
from sandboxes.images.requirements import findings, wheels

HASH = "--hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n\n",
        f"a==1.0 {HASH}\n",
        f"a==1.0 \\\n    {HASH} \\\n    {HASH}\n    # via b\nb[extra]==2 {HASH}",
    ],
)
def test_pinned_and_hashed_wheels_are_fine(text: str) -> None:
    assert findings(text) == []


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("a==1.0", "no --hash"),
        (f"a>=1.0 {HASH}", "not pinned"),
        (f"a {HASH}", "not pinned"),
        (f"a==1.* {HASH}", "not pinned"),
        (f"a @ https://example.com/a.whl {HASH}", "not pinned"),
        ("-r other.txt", "is an option"),
        ("--index-url https://example.com", "is an option"),
        ("-e .", "is an option"),
        (f"./local.whl {HASH}", "not pinned"),
        (f'a==1.0 ; python_version < "3.9" {HASH}', "marker"),
        ("a==1.0 --hash=md5:" + "0" * 32, "no --hash"),
    ],
)
def test_anything_else_is_refused_with_its_line(line: str, word: str) -> None:
    (finding,) = findings(f"# first\n{line}\n")

    assert finding.startswith("requirements.txt:2: ")
    assert word in finding


def test_nothing_is_fetched_for_a_file_that_is_refused() -> None:
    with pytest.raises(BuildRefused) as refused:
        wheels("a\nb\n", python="3.11", architecture="amd64")

    assert len(refused.value.findings) == 2


def test_no_requirements_need_no_index() -> None:
    assert wheels("# none\n", python="3.11", architecture="amd64") == {}
