"""What operators and auditors send and see: grants, freezes, credentials, policies, calls."""

from collections.abc import Sequence

from broker.administration.access import Access, AccessLine
from broker.administration.overview import InvocationView, Status
from broker.administration.policies import KeptPolicy, ReplayTold
from broker.core.freezes import Freeze, FreezeKind
from broker.core.limits import NAME_CHARACTERS_MAX
from broker.core.scopes import Grant
from broker.ports import InvocationQuery, Library
from broker.ports.notifying import ChannelView
from broker.rpc.convert import (
    malformed,
    scope_out,
    timestamp,
)
from broker.rpc.convert_directory import source_out
from broker.rpc.convert_invocation import observed_out, state_in, summary_out
from broker.rpc.convert_observing import observation_out, shadow_out
from broker.v1 import admin_pb2


def status_out(status: Status) -> admin_pb2.GetStatusResponse:
    """How the broker is."""
    return admin_pb2.GetStatusResponse(
        broker=status.about.broker,
        version=status.about.version,
        control_revision=status.control_revision,
        policy_revision=status.policy_revision,
        policy_ready=status.policy_ready,
        tools=status.tools,
        workers=[
            admin_pb2.WorkerStatus(
                name=w.name,
                tools=w.tools,
                free=w.free,
                slots=w.slots,
                tools_without_preview=w.without_preview,
            )
            for w in status.workers
        ],
        sandbox_nodes=[
            admin_pb2.SandboxNodeStatus(
                address=node.address,
                ready=node.is_ready,
                problem=node.problem,
                warm=node.warm,
                room=node.room,
                profiles=node.profiles,
            )
            for node in status.sandbox_nodes
        ],
        holds_pending=status.counts.holds_pending,
        invocations_running=status.counts.running,
        invocations_unknown=status.counts.unknown,
        freezes=status.freezes,
        directories=[source_out(source) for source in status.directory],
        audit_entries=status.counts.audit_entries,
        audit_entries_signed=status.counts.audit_entries_signed,
        store=status.about.store,
        start_time=timestamp(status.about.started_at),
        observations=[observation_out(one) for one in status.observations],
        shadow=shadow_out(status.shadow),
        library=library_out(status.libraries.in_force if status.libraries else None),
        shipped_library=library_out(status.libraries.shipped if status.libraries else None),
        channels=[channel_out(channel) for channel in status.channels],
        contents_days=status.contents_days,
        legal_holds=status.legal_holds,
        brokers=[
            admin_pb2.BrokerStatus(
                broker=one.name,
                address=one.address,
                version=one.version,
                seen_time=timestamp(one.seen_at),
            )
            for one in status.brokers
        ],
    )


def channel_out(channel: ChannelView) -> admin_pb2.ChannelStatus:
    """How telling of holds goes."""
    tally = channel.tally
    return admin_pb2.ChannelStatus(
        name=channel.name,
        kind=channel.kind,
        target=channel.target,
        due=tally.due,
        oldest_due_time=timestamp(tally.oldest_due_at) if tally.due else None,
        sent=tally.sent,
        given_up=tally.dead,
        problem=channel.problem,
    )


def library_out(library: Library | None) -> admin_pb2.Library | None:
    """The shipped rules as a whole; None stays None."""
    if library is None:
        return None
    return admin_pb2.Library(version=library.version, digest=library.digest)


def replay_in(request: admin_pb2.ActivatePolicyRequest) -> ReplayTold | None:
    """What a replay came to; None where there was none."""
    if not request.HasField("replay"):
        return None
    told = request.replay
    return ReplayTold(decisions=told.decisions, changed=told.changed, loosened=told.loosened)


def policy_out(policy: KeptPolicy) -> admin_pb2.Policy:
    """A policy that was or is in force."""
    return admin_pb2.Policy(
        policy_revision=policy.revision,
        families=policy.families,
        activate_time=timestamp(policy.activated_at),
        active=policy.active,
        library=library_out(policy.library),
        preset=policy.preset,
    )


def grant_out(grant: Grant) -> admin_pb2.Grant:
    """A standing assignment."""
    return admin_pb2.Grant(
        name=grant.name,
        subject=grant.subject,
        scope=scope_out(grant.scope),
        expire_time=timestamp(grant.expires_at),
        reason=grant.reason,
        granted_by=grant.granted_by,
        create_time=timestamp(grant.created_at),
    )


def access_out(access: Access) -> admin_pb2.ShowAccessResponse:
    """What a session could at most do."""
    return admin_pb2.ShowAccessResponse(
        lines=[_access_line(line) for line in access.lines],
        unused_grants=[grant_out(grant) for grant in access.unused],
    )


def freeze_kind_in(number: admin_pb2.Freeze.Kind.ValueType) -> FreezeKind:
    """What is to be stopped.

    Raises:
        MalformedRequest: nothing that this release knows.
    """
    name = enum_name(admin_pb2.Freeze.Kind.items(), number).removeprefix("KIND_").lower()
    try:
        return FreezeKind(name)
    except ValueError:
        raise malformed("kind", "Say what is to be frozen.") from None


def freeze_out(freeze: Freeze) -> admin_pb2.Freeze:
    """A kill switch."""
    return admin_pb2.Freeze(
        name=freeze.name,
        kind=admin_pb2.Freeze.Kind.Value(f"KIND_{freeze.kind.name}"),
        subject=freeze.subject,
        reason=freeze.reason,
        frozen_by=freeze.frozen_by,
        create_time=timestamp(freeze.created_at),
        expire_time=timestamp(freeze.expires_at),
    )


def invocation_query(
    request: admin_pb2.ListInvocationsRequest, *, page_size: int, before: str
) -> InvocationQuery:
    """Which calls.

    Raises:
        MalformedRequest: a filter means nothing.
    """
    for field in ("session", "tool", "principal"):
        if len(getattr(request, field)) > NAME_CHARACTERS_MAX:
            raise malformed(field, f"A name has at most {NAME_CHARACTERS_MAX} characters.")
    return InvocationQuery(
        session=request.session,
        tool=request.tool,
        principal=request.principal,
        state=state_in(request.state),
        page_size=page_size,
        before=before,
    )


def view_out(view: InvocationView) -> admin_pb2.InvocationSummary:
    """One call for operators, without arguments and result."""
    return admin_pb2.InvocationSummary(
        invocation=summary_out(view.invocation),
        principal=view.invocation.principal,
        agent=view.invocation.agent,
        summary=view.summary,
        decided_in_ms=view.decided_in_s * 1_000,
        observed=observed_out(view.invocation),
    )


def _access_line(line: AccessLine) -> admin_pb2.AccessLine:
    return admin_pb2.AccessLine(
        scope=line.scope,
        agent=line.agent,
        principal_grants=[grant_out(grant) for grant in line.principal_grants],
        agent_grants=[grant_out(grant) for grant in line.agent_grants],
        tools=line.tools,
    )


def enum_name(items: Sequence[tuple[str, int]], number: int) -> str:
    """A value's name as the proto has it; empty for a number of a later release."""
    return next((name for name, known in items if known == number), "")
