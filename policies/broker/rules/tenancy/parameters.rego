package broker.rules.tenancy

import data.lib.forms

verdicts contains {
	"effect": "DENY",
	"code": "PARAMETERS_INVALID",
	"message": "The parameters of the family tenancy mean nothing.",
} if not _fit

_fit if {
	parameters := data.parameters.tenancy
	forms.closed(parameters, {"tenants", "readers"})
	is_object(parameters.tenants)
	every member in parameters.tenants { is_string(member) }
	is_object(parameters.readers)
	every readers in parameters.readers {
		forms.closed(readers, {"member", "rows"})
		is_string(readers.member)
		readers.rows in {"every", "any"}
	}
}
