"""A profile is one named level of isolation, content-addressed: all of it is in its digest.

A profile says how much a container gets and nothing about what runs in it. `tightens` is a partial
order: a profile may stand in for another only where it is at least as tight in every respect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Runtime = Literal["runc", "gvisor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRule:
    """What may be asked of one host.

    Templates `{/pointer}` read the frozen input (RFC 6901); where a pointer finds no string and no
    integer, the rule allows nothing.

    Attributes:
        host: exact, or "*.example.com", where "*" is one label; templates stand in labels left of
            the registered name.
        port: of TLS unless `scheme` is http.
        methods: upper case.
        path: exact, templates allowed; a last segment "*" stands for any rest.
        query: parameters that may be asked with, each once or not at all, and the value of each:
            a template, or "*" for any. Empty: no query.
        headers: lower-case names of request headers that may pass beside the usual ones.
        credential: name of the one that the proxy puts in; empty for none.
    """

    host: str
    port: int = 443
    scheme: Literal["https", "http"] = "https"
    methods: tuple[str, ...] = ("GET",)
    path: str = "/"
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[str, ...] = ()
    credential: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """The way out: a proxy behind a socket, with a list.

    Attributes:
        requests_max: of one run; refused ones count.
        sent_bytes_max, received_bytes_max: of one run, bodies alone.
        bytes_per_s: of one run, both ways together.
        request_deadline_s: of one request, from its head to the answer's last byte.
        private_addresses: CIDR blocks that may be connected to although they are private or the
            node's own; empty in every shipped profile.
    """

    rules: tuple[EgressRule, ...]
    requests_max: int = 32
    sent_bytes_max: int = 1 << 20
    received_bytes_max: int = 8 << 20
    bytes_per_s: int = 4 << 20
    request_deadline_s: float = 10.0
    private_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a container is bounded. Sizes in bytes, times in seconds.

    Attributes:
        cpus: share of the machine's processors; 0.5 is half of one.
        cpu_s_max: processor time of one process (RLIMIT_CPU).
        wall_s_max: from hand-over to result.
        memory_bytes: with no swap beside it.
        processes_max: threads count.
        open_files_max, file_bytes_max: of one process; size of one file.
        scratch_bytes, scratch_inodes: of the one writable place, /tmp.
        output_bytes_max: of the result's JSON.
        depth_max: of the result's nesting.
        files_max, files_bytes_max: that may be handed in, and that may come out.
        egress: the way out; None for none at all.
        digest: "sha256:…" of the canonical document, seccomp list included.
        document: as given.
    """

    name: str
    description: str
    runtime: Runtime = "runc"
    cpus: float = 0.5
    cpu_s_max: int = 30
    wall_s_max: float = 30.0
    memory_bytes: int = 256 << 20
    processes_max: int = 64
    open_files_max: int = 256
    file_bytes_max: int = 16 << 20
    scratch_bytes: int = 16 << 20
    scratch_inodes: int = 1024
    output_bytes_max: int = 1 << 20
    depth_max: int = 32
    files_max: int = 16
    files_bytes_max: int = 8 << 20
    egress: Egress | None = None
    digest: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def isolated(self) -> bool:
        """Whether there is no way out: however a run ends, nothing outside was touched."""
        return self.egress is None
