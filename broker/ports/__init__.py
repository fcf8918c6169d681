"""What the use cases need of the world, as Protocols; adapters and fakes implement them.

One contract suite per port runs over the fake and over every real part. Every method that leaves
the process has a deadline, its own or one from `core.limits`.
"""

from collections.abc import Callable

from broker.ports.browsing import (
    AgentSeen,
    Browsing,
    DocumentSeen,
    LogHead,
    SessionQuery,
    SessionSeen,
)
from broker.ports.looking import (
    Facts,
)
from broker.ports.policy import (
    Bundle,
    DecisionPoint,
    Library,
    Policies,
    PolicyOrder,
    PolicyRefused,
    PolicyRoom,
)
from broker.ports.recorded import (
    DecisionQuery,
    Explainer,
    RecordedDecisions,
)
from broker.ports.running import (
    Asker,
    CarriedFile,
    Failed,
    FrozenCall,
    Lost,
    NeverStarted,
    Outcome,
    Runner,
    SandboxNodeView,
    Slot,
    Succeeded,
    WorkerView,
)
from broker.ports.storage import (
    AuditLog,
    CounterAsked,
    Counts,
    HoldHistoryQuery,
    HoldQuery,
    InvocationQuery,
    KeySeen,
    Seen,
    Store,
)

Clock = Callable[[], float]
"""POSIX seconds, UTC."""

IdFactory = Callable[[], str]
"""A new UUIDv7 (RFC 9562) in its usual text form."""

__all__ = [
    "AgentSeen",
    "Asker",
    "AuditLog",
    "Browsing",
    "Bundle",
    "CarriedFile",
    "Clock",
    "CounterAsked",
    "Counts",
    "DecisionPoint",
    "DecisionQuery",
    "DocumentSeen",
    "Explainer",
    "Facts",
    "Failed",
    "FrozenCall",
    "HoldHistoryQuery",
    "HoldQuery",
    "IdFactory",
    "InvocationQuery",
    "KeySeen",
    "Library",
    "LogHead",
    "Lost",
    "NeverStarted",
    "Outcome",
    "Policies",
    "PolicyOrder",
    "PolicyRefused",
    "PolicyRoom",
    "RecordedDecisions",
    "Runner",
    "SandboxNodeView",
    "Seen",
    "SessionQuery",
    "SessionSeen",
    "Slot",
    "Store",
    "Succeeded",
    "WorkerView",
]
