# METADATA
# title: Changes to orders
# description: |
#   What has not left the warehouse can be cancelled, or sent to another address that the customer
#   has on record. An address that is new to the record waits for a person: parcels are worth money.
# schemas:
#   - input: schema.input
#   - input.facts.order.value: schema.tools.change_address.facts.order
package broker.rules.orders

_tools := {"cancel_order", "change_address"}

verdicts contains verdict if {
	input.call.tool in _tools
	some verdict in _verdicts
}

_verdicts contains {
	"effect": "ALLOW",
	"code": "ORDER_CHANGEABLE",
	"message": "The order has not left yet.",
} if _changeable

_verdicts contains {
	"effect": "DENY",
	"code": "ORDER_NOT_CHANGEABLE",
	"message": "The order has left, or was cancelled.",
} if not _changeable

_verdicts contains {
	"effect": "HOLD",
	"code": "ADDRESS_UNKNOWN",
	"message": "An address that is not on record is confirmed by a person.",
	"hold": {"reviewers": ["support-leads"]},
} if {
	input.call.tool == "change_address"
	not _address_known
}

_changeable if input.facts.order.value.status in data.parameters.orders.changeable

_address_known if input.facts.order.value.address_known == 1
