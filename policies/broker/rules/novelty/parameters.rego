package broker.rules.novelty

import data.lib.calls
import data.lib.forms

verdicts contains {
	"effect": "DENY",
	"code": "PARAMETERS_INVALID",
	"message": "The parameters of the family novelty mean nothing.",
} if not _fit

_fit if {
	parameters := data.parameters.novelty
	forms.closed(parameters, {"rules", "hold"})
	is_object(parameters.hold)
	is_object(parameters.rules)
	every rule in parameters.rules {
		forms.closed(rule, {"when", "reached_by"})
		forms.closed(rule.when, {"tools", "behaviour"})
		calls.named(rule.when)
		_vouching_fits(rule)
	}
}

_vouching_fits(rule) if object.keys(rule) == {"when"}

_vouching_fits(rule) if forms.one_or_more_texts(rule.reached_by)
