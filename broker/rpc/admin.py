"""AdminService: operators change what is in force; auditors look at it and take the log away."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from broker.administration import Administration
from broker.core.limits import NAME_CHARACTERS_MAX
from broker.enforcer.recovery import Recovery
from broker.rpc.admin_credentials import CredentialMethods
from broker.rpc.admin_directory import DirectoryMethods
from broker.rpc.admin_observing import ObservingMethods
from broker.rpc.admin_recorded import RecordedMethods
from broker.rpc.admin_retention import RetentionMethods
from broker.rpc.admin_sign_ins import SignInMethods
from broker.rpc.convert import instant, require_text, scope_in, seconds
from broker.rpc.convert_admin import (
    access_out,
    freeze_kind_in,
    freeze_out,
    grant_out,
    invocation_query,
    library_out,
    policy_out,
    replay_in,
    status_out,
    view_out,
)
from broker.rpc.convert_invocation import invocation_out
from broker.rpc.convert_manifests import MANIFESTS, manifests_page, warnings_out
from broker.rpc.door import authenticated
from broker.rpc.paging import cursor_of, page_of, page_size_of
from broker.v1 import admin_pb2, admin_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]
_INVOCATIONS = "invocations"


class AdminServicer(
    CredentialMethods,
    DirectoryMethods,
    ObservingMethods,
    RecordedMethods,
    RetentionMethods,
    SignInMethods,
    admin_pb2_grpc.AdminServiceServicer,
):
    """Asks `Administration` on behalf of an operator or auditor."""

    def __init__(self, *, administration: Administration, recovery: Recovery) -> None:
        self._tools = administration.tools
        self._policies = administration.policies
        self._grants = administration.grants
        self._freezes = administration.freezes
        self._directory = administration.directory
        self._credentials = administration.credentials
        self._sign_ins = administration.sign_ins
        self._retention = administration.retention
        self._overview = administration.overview
        self._observing = administration.observing
        self._shadow = administration.shadow
        self._recorded = administration.recorded
        self._explaining = administration.explaining
        self._reperforming = administration.reperforming
        self._recovery = recovery

    async def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: _Context
    ) -> admin_pb2.GetStatusResponse:
        """What the broker is and what waits."""
        return status_out(await self._overview.status())

    async def PutTools(
        self, request: admin_pb2.PutToolsRequest, context: _Context
    ) -> admin_pb2.PutToolsResponse:
        """Put tools in force: all or none."""
        put = await self._tools.put(
            authenticated(),
            request.manifests_json,
            validate_only=request.validate_only,
            replace_all=request.replace_all,
            kept=request.kept,
            reason=request.reason,
        )
        page = manifests_page(put.manifests, self._overview.workers_of_tools())
        return admin_pb2.PutToolsResponse(
            manifests=page.items,
            warnings=warnings_out(put.warnings),
            tools=len(put.manifests),
        )

    async def DeleteTool(
        self, request: admin_pb2.DeleteToolRequest, context: _Context
    ) -> admin_pb2.DeleteToolResponse:
        """Take one out of force."""
        require_text(request.name, field="name")
        await self._tools.delete(authenticated(), request.name, reason=request.reason)
        return admin_pb2.DeleteToolResponse()

    async def ListManifests(
        self, request: admin_pb2.ListManifestsRequest, context: _Context
    ) -> admin_pb2.ListManifestsResponse:
        """A page of the tools in force."""
        after = cursor_of(request.page_token, listing=MANIFESTS)
        found = [t.manifest for t in self._tools.in_force() if t.manifest.name > after]
        page = manifests_page(found, self._overview.workers_of_tools())
        return admin_pb2.ListManifestsResponse(
            manifests=page.items, next_page_token=page.next_page_token
        )

    async def ActivatePolicy(
        self, request: admin_pb2.ActivatePolicyRequest, context: _Context
    ) -> admin_pb2.ActivatePolicyResponse:
        """Check a policy and, unless told not to, put it in force."""
        bundle = await self._policies.activate(
            authenticated(),
            dict(request.files),
            preset=request.preset,
            drop_families=request.drop_families,
            validate_only=request.validate_only,
            reason=request.reason,
            replay=replay_in(request),
            expected=request.expected_policy_revision,
        )
        return admin_pb2.ActivatePolicyResponse(
            policy_revision=bundle.revision,
            families=bundle.families,
            library=library_out(bundle.library),
        )

    async def RollbackPolicy(
        self, request: admin_pb2.RollbackPolicyRequest, context: _Context
    ) -> admin_pb2.RollbackPolicyResponse:
        """Put an earlier policy back in force."""
        bundle = await self._policies.rollback(
            authenticated(), request.policy_revision, reason=request.reason
        )
        return admin_pb2.RollbackPolicyResponse(policy_revision=bundle.revision)

    async def ListPolicies(
        self, request: admin_pb2.ListPoliciesRequest, context: _Context
    ) -> admin_pb2.ListPoliciesResponse:
        """Every policy that was ever in force."""
        kept = await self._policies.kept()
        return admin_pb2.ListPoliciesResponse(policies=[policy_out(policy) for policy in kept])

    async def CreateGrant(
        self, request: admin_pb2.CreateGrantRequest, context: _Context
    ) -> admin_pb2.CreateGrantResponse:
        """Give a scope."""
        grant = await self._grants.create(
            authenticated(),
            subject=request.subject,
            scope=scope_in(request.scope, field="scope"),
            expires_at=instant(request.expire_time, field="expire_time"),
            reason=request.reason,
        )
        return admin_pb2.CreateGrantResponse(grant=grant_out(grant))

    async def DeleteGrant(
        self, request: admin_pb2.DeleteGrantRequest, context: _Context
    ) -> admin_pb2.DeleteGrantResponse:
        """Take a scope back."""
        require_text(request.name, field="name")
        await self._grants.delete(authenticated(), request.name, reason=request.reason)
        return admin_pb2.DeleteGrantResponse()

    async def ShowAccess(
        self, request: admin_pb2.ShowAccessRequest, context: _Context
    ) -> admin_pb2.ShowAccessResponse:
        """What a principal may do, through which agent, and why."""
        require_text(request.principal, field="principal")
        return access_out(
            self._grants.access(
                principal=request.principal, groups=request.groups, agent=request.agent
            )
        )

    async def CreateFreeze(
        self, request: admin_pb2.CreateFreezeRequest, context: _Context
    ) -> admin_pb2.CreateFreezeResponse:
        """Stop something, from the next decision on."""
        has_life = request.HasField("life")
        freeze = await self._freezes.create(
            authenticated(),
            kind=freeze_kind_in(request.kind),
            subject=request.subject,
            reason=request.reason,
            life_s=seconds(request.life, field="life") if has_life else None,
        )
        return admin_pb2.CreateFreezeResponse(freeze=freeze_out(freeze))

    async def DeleteFreeze(
        self, request: admin_pb2.DeleteFreezeRequest, context: _Context
    ) -> admin_pb2.DeleteFreezeResponse:
        """Let something go."""
        require_text(request.name, field="name")
        await self._freezes.delete(authenticated(), request.name, reason=request.reason)
        return admin_pb2.DeleteFreezeResponse()

    async def ListFreezes(
        self, request: admin_pb2.ListFreezesRequest, context: _Context
    ) -> admin_pb2.ListFreezesResponse:
        """Those in force."""
        return admin_pb2.ListFreezesResponse(
            freezes=[freeze_out(freeze) for freeze in self._freezes.in_force()]
        )

    async def ListInvocations(
        self, request: admin_pb2.ListInvocationsRequest, context: _Context
    ) -> admin_pb2.ListInvocationsResponse:
        """Decided calls, newest first."""
        size = page_size_of(request.page_size)
        before = cursor_of(request.page_token, listing=_INVOCATIONS)
        query = invocation_query(request, page_size=size + 1, before=before)
        page = page_of(
            await self._overview.invocations(query),
            size=size,
            listing=_INVOCATIONS,
            cursor=lambda view: view.invocation.name,
        )
        return admin_pb2.ListInvocationsResponse(
            invocations=[view_out(view) for view in page.items],
            next_page_token=page.next_page_token,
        )

    async def TailInvocations(
        self, request: admin_pb2.TailInvocationsRequest, context: _Context
    ) -> AsyncIterator[admin_pb2.TailInvocationsResponse]:
        """Each call as it is decided and as it ends."""
        async with contextlib.aclosing(self._overview.tail()) as views:
            async for view in views:
                yield admin_pb2.TailInvocationsResponse(invocation=view_out(view))

    async def ShowInvocation(
        self, request: admin_pb2.ShowInvocationRequest, context: _Context
    ) -> admin_pb2.ShowInvocationResponse:
        """The whole story of one call."""
        require_text(request.name, field="name")
        view, entries = await self._overview.story(request.name)
        return admin_pb2.ShowInvocationResponse(invocation=view_out(view), entries_json=entries)

    async def ReconcileInvocation(
        self, request: admin_pb2.ReconcileInvocationRequest, context: _Context
    ) -> admin_pb2.ReconcileInvocationResponse:
        """Settle an UNKNOWN call with evidence."""
        require_text(request.name, field="name", characters_max=NAME_CHARACTERS_MAX)
        invocation = await self._recovery.reconcile(
            authenticated(),
            request.name,
            took_effect=request.took_effect,
            evidence=request.evidence,
            result_json=request.result_json,
        )
        return admin_pb2.ReconcileInvocationResponse(invocation=invocation_out(invocation))

    async def ExportAudit(
        self, request: admin_pb2.ExportAuditRequest, context: _Context
    ) -> AsyncIterator[admin_pb2.ExportAuditResponse]:
        """The audit log as JSON lines, with its signed heads."""
        lines = self._overview.export(
            authenticated(),
            since=instant(request.start_time, field="start_time"),
            include_contents=request.include_contents,
        )
        async with contextlib.aclosing(lines) as parts:
            async for part in parts:
                yield admin_pb2.ExportAuditResponse(lines=part)
