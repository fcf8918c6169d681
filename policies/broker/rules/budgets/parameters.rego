package broker.rules.budgets

import data.lib.forms

verdicts contains {
	"effect": "DENY",
	"code": "PARAMETERS_INVALID",
	"message": "The parameters of the family budgets mean nothing.",
} if not _fit

_fit if {
	parameters := data.parameters.budgets
	forms.closed(parameters, {"counters", "tools", "hold"})
	is_object(parameters.hold)
	_counters_fit(parameters.counters)
	is_object(parameters.tools)
	every counters in parameters.tools { _counters_fit(counters) }
}

_counters_fit(counters) if {
	is_object(counters)
	every limits in counters { _limits_fit(limits) }
}

_limits_fit(limits) if {
	forms.closed(limits, {"hold_at", "deny_at", "groups"})
	_numbers_fit(object.remove(limits, {"groups"}))
	groups := object.get(limits, "groups", {})
	is_object(groups)
	every others in groups {
		forms.closed(others, {"hold_at", "deny_at"})
		_numbers_fit(others)
	}
}

_numbers_fit(numbers) if {
	count(numbers) > 0
	every number in numbers { forms.amount(number) }
}
