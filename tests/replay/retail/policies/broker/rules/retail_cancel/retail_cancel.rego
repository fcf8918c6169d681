# METADATA
# title: Cancelling
# description: |
#   An order is cancelled while its status is exactly pending, for one of the two reasons that the
#   shop accepts.
# schemas:
#   - input: schema.input
package broker.rules.retail_cancel

import data.lib.retail

verdicts contains verdict if {
	input.call.tool == "cancel_pending_order"
	some verdict in _verdicts
}

_verdicts contains {
	"effect": "ALLOW",
	"code": "CANCEL_PERMITTED",
	"message": "A pending order may be cancelled.",
} if _pending

_verdicts contains {
	"effect": "DENY",
	"code": "ORDER_NOT_PENDING",
	"message": "Only a pending order can be cancelled.",
} if not _pending

_verdicts contains {
	"effect": "DENY",
	"code": "REASON_NOT_ACCEPTED",
	"message": "The shop does not cancel for this reason.",
} if not _reason_accepted

_pending if retail.order.status == "pending"

_reason_accepted if input.call.arguments.reason in data.parameters.retail_cancel.reasons
