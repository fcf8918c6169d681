# METADATA
# title: Other items
# description: |
#   Items of a pending order are modified, and items of a delivered one exchanged, once: each named
#   item is in the order, in that number, and becomes another, available variant of its product. The
#   difference is settled with a method of the user's profile; a gift card must cover it.
# schemas:
#   - input: schema.input
package broker.rules.retail_items

import data.lib.retail

# Both end the status that they need, hence happen at most once.
_status_needed := {
	"modify_pending_order_items": "pending",
	"exchange_delivered_order_items": "delivered",
}

verdicts contains verdict if {
	_status_needed[input.call.tool]
	some verdict in _verdicts
}

_verdicts contains {
	"effect": "ALLOW",
	"code": "ITEMS_PERMITTED",
	"message": "These items may become those.",
} if {
	_in_time
	_paired
}

_verdicts contains {
	"effect": "DENY",
	"code": "ORDER_NOT_IN_STATUS",
	"message": "The order is not in the status that this needs.",
} if not _in_time

_verdicts contains {
	"effect": "DENY",
	"code": "METHOD_NOT_IN_PROFILE",
	"message": "The payment method is not in the user's profile.",
} if not retail.method

_verdicts contains {
	"effect": "DENY",
	"code": "ITEMS_NOT_IN_ORDER",
	"message": "The items are not in the order in that number, or the lists do not pair up.",
} if not _paired

_verdicts contains {
	"effect": "DENY",
	"code": "PRODUCT_DIFFERS",
	"message": "An item can only become a variant of the same product.",
} if not _same_product

_verdicts contains {
	"effect": "DENY",
	"code": "ITEM_UNAVAILABLE",
	"message": "A new item is not available.",
} if not _available

_verdicts contains {
	"effect": "DENY",
	"code": "ITEM_UNCHANGED",
	"message": "A new item is the old one.",
} if not _changed

_verdicts contains {
	"effect": "DENY",
	"code": "BALANCE_TOO_SMALL",
	"message": "The gift card does not cover the difference.",
} if not _covered

_in_time if retail.order.status == _status_needed[input.call.tool]

# `variants` holds what was found for each new item, in their order.
_paired if {
	retail.items_ordered
	count(input.call.arguments.item_ids) == count(input.call.arguments.new_item_ids)
	count(input.call.arguments.new_item_ids) == count(input.facts.variants.value)
}

_same_product if {
	_paired
	every i, item_id in input.call.arguments.item_ids {
		input.facts.variants.value[i].product_id == _bought(item_id).product_id
	}
}

_available if {
	_paired
	every variant in input.facts.variants.value { variant.available == true }
}

_changed if {
	_paired
	every i, item_id in input.call.arguments.item_ids {
		input.call.arguments.new_item_ids[i] != item_id
	}
}

# Kept apart from its negation: `not f(x)` of an x that is undefined is itself undefined.
_covered if retail.pays(_difference_minor)

_difference_minor := new - old if {
	_paired
	new := sum([variant.price_minor | some variant in input.facts.variants.value])
	old := sum([_bought(item_id).price_minor | some item_id in input.call.arguments.item_ids])
}

# The line of the order with this item; two lines of one item cost the same or nothing is decided.
_bought(item_id) := {"product_id": item.product_id, "price_minor": item.price_minor} if {
	some item in retail.order.items
	item.item_id == item_id
}
