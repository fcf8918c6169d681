# METADATA
# title: What the retail families share
# description: Look-ups in the facts `order` and `customer`. Each is undefined where a fact failed.
# schemas:
#   - input: schema.input
package lib.retail

order := input.facts.order.value

customer := input.facts.customer.value

# The user's payment method that the call names; undefined where the profile has none of the name.
method := found if {
	some found in customer.payment_methods
	found.method_id == input.call.arguments.payment_method_id
}

# A gift card pays at most its balance; other methods are the bank's to refuse.
pays(amount_minor) if {
	method.kind == "gift_card"
	amount_minor <= method.balance_minor
}

pays(_) if method.kind in {"credit_card", "paypal"}

# How often a value is in a list.
times(value, list) := count([1 | some other in list; other == value])

# The items of the order that the call names: at least one, and each no more often than bought.
items_ordered if {
	named := input.call.arguments.item_ids
	count(named) > 0
	ordered := [item.item_id | some item in order.items]
	every item_id in named { times(item_id, named) <= times(item_id, ordered) }
}
