"""A hold for the wire: everything that its reviewer is shown, exactly."""

from broker.core.holds import Hold, Requirement, Review, ReviewEffect, given
from broker.core.previews import Preview
from broker.core.review_view import ArgumentView
from broker.reviews import EarlierView, FileView, HoldView
from broker.rpc.convert import timestamp
from broker.rpc.convert_invocation import artefact_out, effect_named, observed_out, state_out
from broker.v1 import review_pb2, types_pb2


def hold_out(view: HoldView) -> review_pb2.Hold:
    """One hold with all that its reviewer is shown."""
    hold = view.hold
    return review_pb2.Hold(
        name=hold.name,
        invocation=hold.invocation,
        session=hold.session,
        state=review_pb2.Hold.State.Value(f"STATE_{hold.state.value}"),
        summary=hold.summary,
        tool=hold.tool,
        principal=hold.principal.id,
        agent=hold.agent.id,
        words=view.words,
        requirements=[_requirement(hold, r, view.reviews) for r in hold.requirements],
        arguments=[_argument(argument, view) for argument in view.arguments],
        arguments_json=view.invocation.call.canonical,
        earlier=[_earlier(earlier) for earlier in view.earlier],
        reviews=[_review(review) for review in view.reviews],
        call_digest=hold.call_digest,
        tool_revision=hold.tool_revision,
        policy_revision=hold.policy_revision,
        facts_digest=hold.facts_digest,
        etag=str(hold.etag),
        create_time=timestamp(hold.created_at),
        decide_by_time=timestamp(hold.decide_by),
        run_by_time=timestamp(hold.run_by),
        eligible=view.eligible,
        ineligible_reason=view.ineligible_reason,
        invocation_state=state_out(view.invocation.state),
        files=[_file(file) for file in view.files],
        observed=observed_out(view.invocation),
        taken_by=hold.taken_by.name if hold.taken_by else "",
        taken_until_time=timestamp(hold.taken_until),
        run_from_time=timestamp(hold.run_from),
        preview=_preview(hold.preview) if hold.preview else None,
        narrows=hold.narrows,
        asked_arguments_json=view.invocation.asked.canonical if view.invocation.asked else b"",
        alike=hold.alike,
        narrowing=view.narrowing,
        erase_time=timestamp(hold.erased.at) if hold.erased else None,
        erased_by=hold.erased.by if hold.erased else "",
    )


def _file(file: FileView) -> review_pb2.HoldFile:
    known = types_pb2.Artefact(name=file.name)
    if file.artefact is not None:
        known = artefact_out(file.artefact)
    return review_pb2.HoldFile(pointer=file.pointer, artefact=known)


def _requirement(
    hold: Hold, requirement: Requirement, reviews: tuple[Review, ...]
) -> review_pb2.HoldRequirement:
    return review_pb2.HoldRequirement(
        code=requirement.code,
        message=requirement.message,
        reviewers=requirement.terms.reviewers,
        approvals_required=requirement.terms.approvals_required,
        approvals_given=given(hold, requirement, reviews),
        step_up=requirement.terms.step_up,
    )


def _argument(argument: ArgumentView, view: HoldView) -> review_pb2.HoldArgument:
    return review_pb2.HoldArgument(
        pointer=argument.pointer,
        value_json=argument.value_json,
        rendered=argument.rendered,
        looked_up=[
            review_pb2.LookedUp(
                reference=fact.reference, value_json=fact.value_json, rendered=fact.rendered
            )
            for fact in argument.looked_up
        ],
        provenance=argument.provenance,
        origins=[_origin(name, view) for name in argument.origins],
        narrowing=argument.narrowing,
    )


def _origin(name: str, view: HoldView) -> review_pb2.HoldOrigin:
    call = view.origins.get(name)
    if call is None:
        return review_pb2.HoldOrigin(name=name)
    return review_pb2.HoldOrigin(name=name, tool=call.call.tool, time=timestamp(call.created_at))


def _preview(preview: Preview) -> review_pb2.HoldPreview:
    return review_pb2.HoldPreview(
        invocation=preview.invocation,
        content_json=preview.content,
        digest=preview.digest,
        error=preview.error,
        time=timestamp(preview.at),
    )


def _earlier(earlier: EarlierView) -> review_pb2.EarlierCall:
    return review_pb2.EarlierCall(
        time=timestamp(earlier.at),
        tool=earlier.tool,
        effect=effect_named(earlier.effect),
        invocation=earlier.invocation,
    )


def _review(review: Review) -> review_pb2.Review:
    return review_pb2.Review(
        reviewer=review.reviewer.name,
        approved=review.effect is ReviewEffect.APPROVE,
        reason=review.reason,
        time=timestamp(review.at),
        counted=review.counted,
    )
