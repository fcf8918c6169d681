"""What settings name is read as it is meant, or the broker does not start."""

from pathlib import Path

import pytest

from broker.config import ConfigurationRefused
from broker.named_in_settings import bearer_in


def test_a_token_is_what_is_on_its_line(tmp_path: Path):
    path = tmp_path / "token"
    path.write_text("s3cret-token==\n")
    assert bearer_in(path, named="opa_token_file") == "s3cret-token=="


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"one\ntwo\n", b"one two", b"s3cr\xc3\xa9t", b"\x00"]
)
def test_a_file_without_a_token_is_refused_and_nobody_asked_without_one(
    tmp_path: Path, content: bytes
):
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigurationRefused, match="opa_token_file") as told:
        bearer_in(path, named="opa_token_file")
    assert "two" not in str(told.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationRefused, match="No such file"):
        bearer_in(tmp_path / "token", named="traces.token_file")
