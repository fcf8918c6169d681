# METADATA
# title: Shape of approval
# description: |
#   Some calls take more than one person's nod: who, how many, until when, and whether after a fresh
#   sign-in, by tool, behaviour, the principal's groups and the amount. What cannot be told counts.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     rules: "By a name: `when` (`tools`, `behaviour`, `groups`, `amount`) and `terms` of the hold."
#   costs: None until a parameter is set; then one for each call that a rule means, whoever else allows it.
package broker.rules.approvals

import data.lib.calls

tightens_only := true

verdicts contains {
	"effect": "HOLD",
	"code": "APPROVAL_REQUIRED",
	"message": "This is decided by those who decide about such calls.",
	"hold": rule.terms,
} if {
	some rule in data.parameters.approvals.rules
	not _spared(rule.when)
}

_spared(when) if calls.another(when)

_spared(when) if {
	groups := when.groups
	is_array(input.principal.groups)
	not calls.in_one_of(groups)
}

_spared(when) if {
	amount := _value(when.amount.at)
	is_number(amount)
	amount >= 0
	amount <= _most(when.amount)
}

_most(amount) := amount.above if not amount.currency_at

_most(amount) := amount.above[_value(amount.currency_at)]

# What an argument is; undefined where there is none.
_value(pointer) := object.get(input.call.arguments, split(trim_left(pointer, "/"), "/"), null) if {
	is_object(input.call.arguments)
}
