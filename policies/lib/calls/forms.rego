package lib.calls

import data.lib.forms

_flags := {"read_only", "destructive", "idempotent", "open_world"}

# Whether the members `tools` and `behaviour` of `when`, where they are there, mean something.
named(when) if {
	is_object(when)
	forms.texts(object.get(when, "tools", []))
	behaviour := object.get(when, "behaviour", {})
	forms.closed(behaviour, _flags)
	every wanted in behaviour { is_boolean(wanted) }
}
