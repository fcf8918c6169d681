"""What the entry program reads and writes as JSON is what the `json` package does."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.entry import plain_json

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)  # fmt: skip


def as_the_package_writes(value: object) -> bytes:
    told = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return told.encode()


@given(VALUES)
def test_it_writes_what_the_package_writes_and_reads_it_again(value):
    written = plain_json.dumps(value)

    assert written == as_the_package_writes(value)
    assert plain_json.loads(written) == value


@given(VALUES, st.integers(0, 3))
def test_it_reads_what_the_package_wrote_in_any_style(value, indent):
    assert plain_json.loads(f" \t\r\n{json.dumps(value, indent=indent)}\n ".encode()) == value


@pytest.mark.parametrize("text", [b"", b" ", b"{", b'{"a":1}x', b"[1,]", b"'a'", b'"\n"', b"tru"])
def test_what_is_none_is_refused_with_what_is_wrong(text):
    with pytest.raises(ValueError, match=r"line 1|line 2"):
        plain_json.loads(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object(), b"", "\ud800", {(): 1}])
def test_what_is_not_json_is_not_written(value):
    with pytest.raises((TypeError, ValueError)):
        plain_json.dumps({"a": [value] if not isinstance(value, dict) else value})


def test_what_is_within_itself_or_endlessly_deep_is_not_written_or_read():
    within: list[object] = []
    within.append(within)
    with pytest.raises(ValueError, match=r"[Cc]ircular"):
        plain_json.dumps(within)
    with pytest.raises(RecursionError):
        plain_json.loads(b"[" * 100_000)


def test_a_waiting_container_has_neither_patterns_nor_enumerations_loaded():
    command = (
        "import sys; from sandboxes.entry import serving; serving._make_ready();"
        "print([m for m in ('re', 'enum', 'json', 'dataclasses', 'typing') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", f"import sys; sys.path.insert(0, '.'); {command}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_an_interpreter_without_that_module_takes_the_package():
    read, write = plain_json._of_the_package()

    assert read('{"a":[1.5]}') == {"a": [1.5]}
    assert write({"a": "é"}) == '{"a":"é"}'
