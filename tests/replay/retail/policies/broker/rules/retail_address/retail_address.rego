# METADATA
# title: Addresses
# description: |
#   The address of an order is changed while it is pending, its items modified or not; the user's
#   own default address at any time (that it is one's own is the bound scope's part).
# schemas:
#   - input: schema.input
package broker.rules.retail_address

import data.lib.retail

verdicts contains verdict if {
	input.call.tool == "modify_pending_order_address"
	some verdict in _order_verdicts
}

verdicts contains {
	"effect": "ALLOW",
	"code": "ADDRESS_PERMITTED",
	"message": "Users may change their own address.",
} if {
	input.call.tool == "modify_user_address"
	input.call.arguments.user_id == input.principal.id
}

_order_verdicts contains {
	"effect": "ALLOW",
	"code": "ADDRESS_PERMITTED",
	"message": "A pending order may go elsewhere.",
} if _pending

_order_verdicts contains {
	"effect": "DENY",
	"code": "ORDER_NOT_PENDING",
	"message": "Only a pending order can be modified.",
} if not _pending

_pending if startswith(retail.order.status, "pending")
