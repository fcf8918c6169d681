"""Groups that an issuer says become ours by the settings alone."""

from collections.abc import Mapping
from typing import Final

GROUPS_MAX: Final = 1_000
"""Of more nobody can say which ones count: then none does."""


def groups_in(claimed: object, ours: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Our groups, each once.

    Args:
        claimed: as the issuer says them: a name, or a list of them.
        ours: of the settings, by what the issuer says.
    """
    told = [claimed] if isinstance(claimed, str) else claimed
    if not isinstance(told, list) or len(told) > GROUPS_MAX:
        return ()
    found = (ours.get(one, ()) for one in told if isinstance(one, str))
    return tuple(dict.fromkeys(group for groups in found for group in groups))
