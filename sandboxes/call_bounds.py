"""What may be handed to a container: one JSON object and plain files, within its profile.

Checked once, before anything is handed over, so that a refusal still means that nothing ran.
"""

import json
from typing import Final

from sandboxes import names
from sandboxes.profile import Profile
from sandboxes.refusals import Reason, Refused
from sandboxes.supervise import CallOrder

INPUT_BYTES_MAX: Final = 1 << 20


def within_bounds(call: CallOrder, profile: Profile) -> CallOrder:
    """The call, with no more time than the profile allows.

    Raises:
        Refused: BAD_REQUEST: its input, files or deadline are not what may be handed over.
    """
    if len(call.input_json) > INPUT_BYTES_MAX:
        raise _bad(f"The input has {len(call.input_json)} bytes; {INPUT_BYTES_MAX} are allowed.")
    try:
        is_object = isinstance(json.loads(call.input_json.decode()), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise _bad("The input is not one JSON object.")
    if len(call.files) > profile.files_max:
        raise _bad(f"There are {len(call.files)} files; {profile.files_max} are allowed.")
    size = sum(len(file.content) for file in call.files)
    if size > profile.files_bytes_max:
        raise _bad(f"The files have {size} bytes; {profile.files_bytes_max} are allowed.")
    wrong = names.finding_of_all(file.name for file in call.files)
    if wrong:
        raise _bad(wrong)
    if call.deadline_s <= 0:
        raise _bad("The deadline is not a positive number of seconds.")
    return CallOrder(
        input_json=call.input_json,
        files=call.files,
        deadline_s=min(call.deadline_s, profile.wall_s_max),
        subject=call.subject,
    )


def _bad(message: str) -> Refused:
    return Refused(Reason.BAD_REQUEST, message)
