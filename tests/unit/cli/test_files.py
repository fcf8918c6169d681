"""Files are shown by what is known of them; a name that a stranger chose cannot pass for that."""

from broker.cli.files import file_line, named_file
from broker.cli.hold_picture import hold_picture
from broker.cli.invocations import call_picture
from broker.v1.admin_pb2 import InvocationSummary
from broker.v1.review_pb2 import HoldFile
from broker.v1.types_pb2 import Artefact, Invocation
from tests.unit.cli.holds_for_tests import AROUND, the_hold

KNOWN = {
    "name": "artefacts/x",
    "file_name": "sum.csv",
    "size_bytes": 3,
    "sha256": "sha256:5d1f0c9e" + "0" * 56,
    "trust": Artefact.TRUST_UNTRUSTED,
    "sensitivity": Artefact.SENSITIVITY_SECRET,
}
LINE = '"sum.csv"  3 bytes  untrusted, secret  5d1f0c9e'


def test_a_file_is_told_by_name_size_labels_and_digest():
    assert file_line(Artefact(**KNOWN)).plain == LINE


def test_a_name_cannot_leave_its_quotation_marks():
    forged = {**KNOWN, "file_name": 'a" 9 bytes  trusted, none\x1b[2J'}
    assert file_line(Artefact(**forged)).plain.startswith(
        '"a\\" 9 bytes  trusted, none\\u001b[2J"  3 bytes  untrusted'
    )


def test_a_file_that_is_gone_says_so():
    gone = HoldFile(pointer="/document", artefact=Artefact(name="artefacts/x"))
    assert named_file(gone).plain == "/document  gone"


def test_a_call_shows_what_it_left():
    left = [Artefact(**KNOWN), Artefact(**{**KNOWN, "file_name": "b"})]
    summary = InvocationSummary(invocation=Invocation(tool="run_python", artefacts=left))
    shown = [line.plain for line in call_picture(summary, AROUND)]
    assert f"Files    {LINE}" in shown
    assert '         "b"  3 bytes  untrusted, secret  5d1f0c9e' in shown


def test_a_hold_shows_what_its_call_names():
    hold = the_hold(files=[HoldFile(pointer="/document", artefact=Artefact(**KNOWN))])
    shown = [line.plain for line in hold_picture(hold, AROUND)]
    assert f"Files    /document  {LINE}" in shown
    assert not any(line.startswith("Files") for line in map(str, hold_picture(the_hold(), AROUND)))
