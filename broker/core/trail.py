"""What a runner saw goes into the log: that it happened for good, what was in it erasably.

Where it ran, under what and how often it reached outside are in the entry. Hosts and paths may hold
what a tool had read, so that each request is in the entry's contents, which the entry commits to.
"""

from collections.abc import Mapping
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.canonical import digest

_REQUESTS: Final = "requests"


def trail_body(trail: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What of a trail is in the entry itself; nothing of an empty one.

    Args:
        trail: `requests`, a list of objects with `allowed`; `requests_cut`; and whatever else the
            runner tells.
    """
    if not trail:
        return {}
    requests = _requests(trail)
    told = {name: value for name, value in trail.items() if name != _REQUESTS}
    if requests:
        allowed = sum(_is_allowed(request) for request in requests)
        told["requests_allowed"] = allowed
        told["requests_refused"] = len(requests) - allowed
        told["requests_digest"] = digest({_REQUESTS: requests})
    return {"run": told}


def trail_contents(trail: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What of a trail is in the entry's contents: every request, in order."""
    requests = _requests(trail)
    return {_REQUESTS: requests} if requests else {}


def _requests(trail: Mapping[str, JsonValue]) -> list[JsonValue]:
    requests = trail.get(_REQUESTS)
    return requests if isinstance(requests, list) else []


def _is_allowed(request: JsonValue) -> bool:
    return not isinstance(request, dict) or request.get("allowed") is not False
