package broker.rules.output

import data.lib.calls
import data.lib.forms

_scanned := {"secrets", "cards", "accounts", "mailboxes", "links"}

verdicts contains {
	"effect": "DENY",
	"code": "PARAMETERS_INVALID",
	"message": "The parameters of the family output mean nothing.",
} if not _fit

_fit if {
	parameters := data.parameters.output
	forms.closed(parameters, {"rules"})
	is_object(parameters.rules)
	every rule in parameters.rules {
		forms.closed(rule, {"when", "unless", "duty"})
		forms.texts(rule.unless)
		_when_fits(rule.when)
		_duty_fits(rule.duty)
	}
}

_when_fits(when) if {
	forms.closed(when, {"tools", "runners", "trust", "sensitivity"})
	calls.named(when)
	forms.texts(object.get(when, "runners", []))
	every name, declarable in _declarable {
		named := object.get(when, name, [])
		forms.texts(named)
		every word in named { word in declarable }
	}
}

_duty_fits({"kind": "withhold"})

_duty_fits(duty) if {
	forms.closed(duty, {"kind", "pointers"})
	duty.kind == "redact"
	forms.one_or_more_texts(duty.pointers)
}

_duty_fits(duty) if {
	forms.closed(duty, {"kind", "for", "then"})
	duty.kind == "scan"
	forms.one_or_more_texts(duty.for)
	every word in duty.for { word in _scanned }
	duty.then in {"redact", "withhold"}
}
