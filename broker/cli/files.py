"""A file on one line: what it is called, in quotation marks, and what is known of what is in it."""

from rich.text import Text

from broker.cli.json_output import enum_word
from broker.cli.screen import ours, theirs
from broker.core.text import visible_value
from broker.v1.review_pb2 import HoldFile
from broker.v1.types_pb2 import Artefact

_DIGEST_DIGITS = 8


def file_line(artefact: Artefact) -> Text:
    """`"sum.csv"  3 bytes  untrusted, secret  5d1f0c9e`."""
    digits = artefact.sha256.removeprefix("sha256:")[:_DIGEST_DIGITS]
    trust = enum_word(Artefact.Trust.DESCRIPTOR, artefact.trust).lower()
    sensitivity = enum_word(Artefact.Sensitivity.DESCRIPTOR, artefact.sensitivity).lower()
    known = ours(f"  {artefact.size_bytes} bytes  {trust}, {sensitivity}  ")
    # Strangers named it: nothing in the name can look like what stands beside it.
    return ours(visible_value(artefact.file_name)) + known + theirs(digits)


def named_file(file: HoldFile) -> Text:
    """The same behind where the arguments name it; or that it is gone."""
    at = theirs(file.pointer) + ours("  ")
    if not file.artefact.sha256:
        return at + ours("gone")
    return at + file_line(file.artefact)
