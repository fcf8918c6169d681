package broker.rules.code

import data.lib.forms

verdicts contains {
	"effect": "DENY",
	"code": "PARAMETERS_INVALID",
	"message": "The parameters of the family code mean nothing.",
} if not _fit

_fit if {
	parameters := data.parameters.code
	forms.closed(parameters, {"isolated", "profiles"})
	forms.texts(parameters.isolated)
	forms.closed(parameters.profiles, {"untrusted", "personal", "secret"})
	every wanted in parameters.profiles {
		forms.closed(wanted, {"profile", "enough"})
		is_string(wanted.profile)
		forms.texts(wanted.enough)
	}
}
