"""A profile may stand in for another only where it is at least as tight in every respect.

`tightens` is a partial order of what profiles allow, whatever their names: reflexive, transitive,
and each way round only between profiles that allow the same. Where a rule of egress cannot be seen
to be within another, by its text alone, it is not.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from operator import attrgetter
from typing import Final

from sandboxes.egress import templates
from sandboxes.profile import Egress, EgressRule, Profile

LIMITS: Final = (
    "cpus",
    "cpu_s_max",
    "wall_s_max",
    "memory_bytes",
    "processes_max",
    "open_files_max",
    "file_bytes_max",
    "scratch_bytes",
    "scratch_inodes",
    "output_bytes_max",
    "depth_max",
    "files_max",
    "files_bytes_max",
)
_CAPS: Final = (
    "requests_max",
    "sent_bytes_max",
    "received_bytes_max",
    "bytes_per_s",
    "request_deadline_s",
)
_WILDCARD: Final = "*"


def tightens(one: Profile, other: Profile) -> bool:
    """Whether `one` allows nothing that `other` does not."""
    return (
        all(_at_most(one, other, name) for name in LIMITS)
        and one.runtime in {other.runtime, "gvisor"}
        and _is_way_within(one.egress, other.egress)
    )


def _at_most(one: Profile | Egress, other: Profile | Egress, name: str) -> bool:
    value = attrgetter(name)
    return bool(value(one) <= value(other))


def _is_way_within(one: Egress | None, other: Egress | None) -> bool:
    if one is None or other is None:
        return one is None
    return (
        all(_at_most(one, other, name) for name in _CAPS)
        and _are_within(one.private_addresses, other.private_addresses)
        and (
            one.rules == other.rules or all(_is_rule_within(r, other.rules) for r in one.rules)
        )
    )  # fmt: skip


def _are_within(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    wide = [ip_network(text) for text in others]
    return all(any(_contains(w, ip_network(text)) for w in wide) for text in some)


def _contains(wide: IPv4Network | IPv6Network, narrow: IPv4Network | IPv6Network) -> bool:
    if isinstance(wide, IPv4Network):
        return isinstance(narrow, IPv4Network) and narrow.subnet_of(wide)
    return isinstance(narrow, IPv6Network) and narrow.subnet_of(wide)


def _is_rule_within(rule: EgressRule, others: tuple[EgressRule, ...]) -> bool:
    for index, other in enumerate(others):
        if _is_covered(rule, other) and (
            not rule.credential
            or (rule.credential == other.credential and not _preceded(rule, others[:index]))
        ):
            return True
    return False


def _preceded(rule: EgressRule, earlier: tuple[EgressRule, ...]) -> bool:
    """Whether one that comes first may answer with another credential: the first match does."""
    return any(e.credential != rule.credential and _may_overlap(rule, e) for e in earlier)


def _may_overlap(one: EgressRule, other: EgressRule) -> bool:
    return (one.scheme, one.port) == (other.scheme, other.port) and not (
        _is_plain(one.host) and _is_plain(other.host) and one.host != other.host
    )


def _is_plain(text: str) -> bool:
    return _WILDCARD not in text and not templates.is_template(text)


def _is_covered(one: EgressRule, other: EgressRule) -> bool:
    allowed = dict(other.query)
    return (
        (one.scheme, one.port) == (other.scheme, other.port)
        and set(one.methods) <= set(other.methods)
        and set(one.headers) <= set(other.headers)
        and _is_host_covered(one.host, other.host)
        and _is_path_covered(one.path, other.path)
        and all(allowed.get(name) in {value, _WILDCARD} for name, value in one.query)
    )


def _is_host_covered(one: str, other: str) -> bool:
    asked, given = templates.split(one, "."), templates.split(other, ".")
    return len(asked) == len(given) and all(
        wide in {narrow, _WILDCARD} for narrow, wide in zip(asked, given, strict=True)
    )


def _is_path_covered(one: str, other: str) -> bool:
    asked, given = templates.split(one, "/"), templates.split(other, "/")
    if given[-1] != _WILDCARD:
        return asked == given
    # "/a/*" is at least one segment more than "/a", and so is whatever it covers.
    return len(asked) >= len(given) and asked[: len(given) - 1] == given[:-1]
