# METADATA
# title: Payment methods
# description: |
#   A pending order's payment moves to one method of the user's profile that differs from the
#   original, and from the one that pays now; a gift card must cover the whole.
# schemas:
#   - input: schema.input
package broker.rules.retail_payment

import data.lib.retail

verdicts contains verdict if {
	input.call.tool == "modify_pending_order_payment"
	some verdict in _verdicts
}

_verdicts contains {
	"effect": "ALLOW",
	"code": "PAYMENT_PERMITTED",
	"message": "The order may be paid for otherwise.",
} if _pending

_verdicts contains {
	"effect": "DENY",
	"code": "ORDER_NOT_PENDING",
	"message": "Only a pending order can be modified.",
} if not _pending

_verdicts contains {
	"effect": "DENY",
	"code": "METHOD_NOT_IN_PROFILE",
	"message": "The payment method is not in the user's profile.",
} if not retail.method

_verdicts contains {
	"effect": "DENY",
	"code": "METHOD_UNCHANGED",
	"message": "The payment method is the one that it was.",
} if not _different

_verdicts contains {
	"effect": "DENY",
	"code": "BALANCE_TOO_SMALL",
	"message": "The gift card does not cover the order.",
} if not _covered

_pending if startswith(retail.order.status, "pending")

_different if {
	chosen := input.call.arguments.payment_method_id
	chosen != retail.order.original_method
	every paying in retail.order.paid_with { chosen != paying }
}

# Kept apart from its negation: `not f(x)` of an x that is undefined is itself undefined.
_covered if retail.pays(retail.order.total_minor)
