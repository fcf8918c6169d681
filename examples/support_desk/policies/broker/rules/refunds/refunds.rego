# METADATA
# title: Refunds
# description: |
#   A refund returns at most what is left of the order's payment, in its currency. Small ones run
#   at once; a large one, or the third of a principal in a day, waits for a person. Where the money
#   goes is not for the agent to say: the tool has no such argument.
# schemas:
#   - input: schema.input
#   - input.call.arguments: schema.tools.refund.arguments
#   - input.facts.order.value: schema.tools.refund.facts.order
package broker.rules.refunds

verdicts contains verdict if {
	input.call.tool == "refund"
	some verdict in _verdicts
}

_verdicts contains {
	"effect": "ALLOW",
	"code": "REFUND_COVERED",
	"message": "The payment covers this refund.",
} if _covered

_verdicts contains {
	"effect": "DENY",
	"code": "REFUND_NOT_COVERED",
	"message": "The payment does not cover this refund.",
} if not _covered

_verdicts contains {
	"effect": "HOLD",
	"code": "REFUND_NEEDS_PERSON",
	"message": "A large or repeated refund is decided by a person.",
	"hold": {"reviewers": ["support-leads"], "approvals_required": 1, "decide_within_s": 14400},
} if not _unattended

# A fact that is absent or failed has no value: this is then undefined, and its negation denies.
_covered if {
	refund := input.call.arguments
	order := input.facts.order.value
	refund.currency == order.currency
	refund.amount_minor <= order.captured_minor - order.refunded_minor
}

# `used` counts what came before this call.
_unattended if {
	may := data.parameters.refunds
	input.call.arguments.amount_minor <= may.unattended_amount_minor_max
	input.usage.refunds.used < may.unattended_a_day_max
}
