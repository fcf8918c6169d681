# METADATA
# title: Returns
# description: |
#   Items of a delivered order go back, once; the refund goes to the method that the order was paid
#   with or to a gift card, of the user's own profile.
# schemas:
#   - input: schema.input
package broker.rules.retail_return

import data.lib.retail

verdicts contains verdict if {
	input.call.tool == "return_delivered_order_items"
	some verdict in _verdicts
}

_verdicts contains {
	"effect": "ALLOW",
	"code": "RETURN_PERMITTED",
	"message": "These items may go back.",
} if _delivered

_verdicts contains {
	"effect": "DENY",
	"code": "ORDER_NOT_DELIVERED",
	"message": "Only a delivered order can be returned, and once.",
} if not _delivered

_verdicts contains {
	"effect": "DENY",
	"code": "ITEMS_NOT_IN_ORDER",
	"message": "The items are not in the order in that number.",
} if not retail.items_ordered

_verdicts contains {
	"effect": "DENY",
	"code": "METHOD_NOT_IN_PROFILE",
	"message": "The payment method is not in the user's profile.",
} if not retail.method

_verdicts contains {
	"effect": "DENY",
	"code": "REFUND_GOES_ELSEWHERE",
	"message": "A refund goes to the original method or to a gift card of the user's.",
} if not _destination_fits

_delivered if retail.order.status == "delivered"

_destination_fits if retail.method.method_id == retail.order.original_method

_destination_fits if retail.method.kind == "gift_card"
