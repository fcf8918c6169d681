"""How the shipped library is told: which release ships it, and what tells two apart."""

from rich.text import Text

from broker.cli.hold_picture import digest
from broker.cli.screen import ours, theirs
from broker.v1.admin_pb2 import GetStatusResponse, Library


def library_text(library: Library | None) -> Text:
    """`0.1.0 bc1992cb`; nothing where the policy does not say."""
    if library is None:
        return ours("")
    return theirs(f"{library.version} {digest(library.digest)}")


def is_to_upgrade(told: GetStatusResponse) -> bool:
    """Whether this release ships other rules than those of the policy in force."""
    if not told.policy_revision or not told.HasField("shipped_library"):
        return False
    return told.library.digest != told.shipped_library.digest
