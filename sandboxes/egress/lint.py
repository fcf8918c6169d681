"""What an operator wrote into a way out is read before anything runs, and every doubt is a finding.

A wildcard together with a credential that all subjects share is one: whoever steers the tool would
steer the operator's own authority anywhere that the wildcard reaches.
"""

import re
from collections.abc import Iterator, Mapping

from sandboxes.egress import addresses, targets, templates
from sandboxes.egress.credentials import Credential
from sandboxes.egress.heads import CREDENTIAL_HEADERS, NEVER_PASSING, is_header_passable
from sandboxes.egress.refusals import EgressRefused
from sandboxes.egress.rules import WILDCARD
from sandboxes.profile import Egress, EgressRule

REQUESTS_MAX = 1024
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_PREFIX = re.compile(r"[ -~]*")
_SECOND_LEVEL_CHARACTERS_MAX = 3
_COUNTRY_CHARACTERS = 2


def findings(egress: Egress, credentials: Mapping[str, Credential]) -> tuple[str, ...]:
    """All that is wrong with it, a sentence each; empty where it may be used.

    Args:
        egress: of a profile.
        credentials: of this node, by name.
    """
    found = [*_of_caps(egress), *_of_blocks(egress)]
    for number, rule in enumerate(egress.rules, start=1):
        where = f"Egress rule {number} ({rule.host}{rule.path})"
        found += [f"{where}: {what}" for what in (*_of_rule(rule), *_of_use(rule, credentials))]
    return tuple(found)


def credential_findings(credential: Credential) -> tuple[str, ...]:
    """All that is wrong with how a credential is configured."""
    found = []
    if (credential.file is None) == (credential.directory is None):
        found.append("it is kept in one file or in one directory: name one of both.")
    if not credential.hosts:
        found.append("hosts is empty, so it can be sent nowhere: name where it belongs.")
    for pattern in credential.hosts:
        found += [
            f"hosts: {what}" for what in _of_host(pattern) if not templates.is_template(pattern)
        ]
        if templates.is_template(pattern):
            found.append(f"hosts: {pattern!r} is a template; only a profile's rule may be one.")
    if not _HEADER.fullmatch(credential.header) or not _PREFIX.fullmatch(credential.prefix):
        found.append("header and prefix are plain ASCII.")
    elif credential.header.lower() in NEVER_PASSING - CREDENTIAL_HEADERS:
        found.append(f"header {credential.header} is the proxy's own and may not be replaced.")
    return tuple(f"Credential {credential.name}: {what}" for what in found)


def _of_caps(egress: Egress) -> Iterator[str]:
    whole = (egress.requests_max, egress.sent_bytes_max, egress.received_bytes_max)
    if min(whole) < 0 or egress.requests_max > REQUESTS_MAX:
        yield f"Egress: caps are not negative, and requests_max is at most {REQUESTS_MAX}."
    if egress.bytes_per_s < 1 or not 0 < egress.request_deadline_s < float("inf"):
        yield "Egress: bytes_per_s and request_deadline_s are more than nothing, and finite."


def _of_blocks(egress: Egress) -> Iterator[str]:
    for text in egress.private_addresses:
        try:
            (block,) = addresses.blocks((text,))
        except ValueError:
            yield f"Egress: private_addresses: {text!r} is no CIDR block."
            continue
        if any(
            block.version == never.version and block.overlaps(never) for never in addresses.NEVER
        ):
            yield f"Egress: private_addresses: {text} covers addresses that nothing may open."


def _of_rule(rule: EgressRule) -> Iterator[str]:
    yield from _of_host(rule.host)
    yield from _of_path(rule.path)
    yield from _of_query(rule)
    if rule.scheme not in targets.PORTS or not 0 < rule.port <= 65_535:  # noqa: PLR2004
        yield "scheme is https or http, and port 1 to 65535."
    if not rule.methods or not set(rule.methods) <= set(METHODS):
        yield f"methods are some of {', '.join(METHODS)}."
    yield from (
        f"header {name!r} never passes, or is not in lower case."
        for name in rule.headers
        if not is_header_passable(name)
    )


def _of_host(host: str) -> Iterator[str]:
    if not templates.is_sound(host):
        yield "host: a brace belongs to no pointer, as in {/name}."
        return
    labels = templates.split(host, ".")
    plain = [label for label in labels if label != WILDCARD and not templates.is_template(label)]
    if WILDCARD in labels[1:] or any(WILDCARD in label for label in plain):
        yield 'host: "*" is the whole first label, once.'
        return
    if plain != list(labels[len(labels) - len(plain) :]) or len(plain) < _labels_min(plain):
        yield "host: wildcards and templates stand left of the registered name."
    try:
        targets.read_host(".".join(plain))
    except EgressRefused as refused:
        yield f"host: {refused}"


def _labels_min(plain: list[str]) -> int:
    """Labels of a registered name: three below suffixes such as co.uk, else two."""
    is_below_country = (
        len(plain) > 1
        and len(plain[-1]) == _COUNTRY_CHARACTERS
        and len(plain[-2]) <= _SECOND_LEVEL_CHARACTERS_MAX
    )
    return 3 if is_below_country else 2


def _of_path(path: str) -> Iterator[str]:
    if not path.startswith("/") or not templates.is_sound(path):
        yield "path: it begins with / and a brace belongs to a pointer, as in {/name}."
        return
    segments = templates.split(path, "/")[1:]
    spelled = segments[:-1] if segments[-1] == WILDCARD else segments
    if any(WILDCARD in segment for segment in spelled):
        yield 'path: "*" is the whole last segment.'
    plain = [each if not templates.is_template(each) else "x" for each in spelled]
    try:
        targets.check_segments([targets.decode(each) for each in plain])
    except EgressRefused as refused:
        yield f"path: {refused}"


def _of_query(rule: EgressRule) -> Iterator[str]:
    names = [name for name, _ in rule.query]
    if len(set(names)) < len(names) or not all(names):
        yield "query: each parameter has a name of its own."
    if not all(templates.is_sound(value) for _, value in rule.query):
        yield "query: a brace belongs to no pointer, as in {/name}."


def _of_use(rule: EgressRule, credentials: Mapping[str, Credential]) -> Iterator[str]:
    if not rule.credential:
        return
    if rule.scheme != "https":
        yield "a credential goes by https alone."
    credential = credentials.get(rule.credential)
    if credential is None:
        yield f"this node has no credential {rule.credential!r}."
        return
    wild = WILDCARD in rule.host or rule.path.endswith(WILDCARD)
    if wild and not credential.is_per_subject:
        yield (
            f"a wildcard with credential {rule.credential!r}, which all subjects share: spell host "
            "and path out, or keep the credential per subject."
        )
    if not templates.is_template(rule.host) and not any(
        pattern == rule.host or credential.is_for(rule.host) for pattern in credential.hosts
    ):
        yield f"credential {rule.credential!r} is not for this host."
