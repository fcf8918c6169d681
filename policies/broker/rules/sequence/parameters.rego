package broker.rules.sequence

import data.lib.calls
import data.lib.forms

verdicts contains {
	"effect": "DENY",
	"code": "PARAMETERS_INVALID",
	"message": "The parameters of the family sequence mean nothing.",
} if not _fit

_fit if {
	parameters := data.parameters.sequence
	forms.closed(parameters, {"rules", "hold"})
	is_object(parameters.hold)
	is_object(parameters.rules)
	every rule in parameters.rules {
		forms.closed(rule, {"after", "then", "effect"})
		rule.effect in {"HOLD", "DENY"}
		forms.closed(rule.then, {"tools", "behaviour"})
		calls.named(rule.then)
		_after_fits(rule.after)
	}
}

_after_fits(after) if {
	forms.closed(after, {"tool", "decided"})
	is_string(after.tool)
	object.get(after, "decided", "ALLOW") in {"ALLOW", "HOLD", "DENY"}
}

_after_fits(after) if {
	forms.closed(after, {"label"})
	is_string(after.label)
}
