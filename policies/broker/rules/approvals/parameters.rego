package broker.rules.approvals

import data.lib.calls
import data.lib.forms

verdicts contains {
	"effect": "DENY",
	"code": "PARAMETERS_INVALID",
	"message": "The parameters of the family approvals mean nothing.",
} if not _fit

_fit if {
	parameters := data.parameters.approvals
	forms.closed(parameters, {"rules"})
	is_object(parameters.rules)
	every rule in parameters.rules {
		forms.closed(rule, {"when", "terms"})
		is_object(rule.terms)
		forms.closed(rule.when, {"tools", "behaviour", "groups", "amount"})
		calls.named(rule.when)
		forms.texts(object.get(rule.when, "groups", []))
		_amount_fits(object.get(rule.when, "amount", {"at": "/none", "above": 0}))
	}
}

_amount_fits(amount) if {
	forms.closed(amount, {"at", "above"})
	forms.pointer(amount.at)
	forms.amount(amount.above)
}

_amount_fits(amount) if {
	forms.closed(amount, {"at", "above", "currency_at"})
	forms.pointer(amount.at)
	forms.pointer(amount.currency_at)
	is_object(amount.above)
	every most in amount.above { forms.amount(most) }
}
