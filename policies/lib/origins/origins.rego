# METADATA
# title: Where values come from
# description: |
#   Leaves of the arguments under given pointers, each with its origin. The broker traces every leaf
#   that is not empty, so that a pointer without leaves reaches nobody and carries nothing.
# schemas:
#   - input: schema.input
package lib.origins

# Pointer and origin of each leaf under one of these pointers; undefined where nothing was traced.
leaves(pointers) := found if {
	traced := input.provenance
	found := {at: origin |
		some pointer in pointers
		some at, origin in traced
		_under(at, pointer)
	}
}

# What stands at a pointer; null where it is not found, as under names with signs of their own.
value(at) := found if {
	steps := [_step(part) | some part in split(trim_prefix(at, "/"), "/")]
	found := object.get(input.call.arguments, steps, null)
}

# The session has read nothing that a stranger may have written.
clean if {
	labels := input.session.labels
	not "untrusted" in labels
}

# A scope binds this leaf to the principal, by a record of whose it is.
own(at) if {
	some pointer in input.tool.bound
	_under(at, pointer)
}

_step(part) := to_number(part) if regex.match(`^(0|[1-9][0-9]{0,5})$`, part)

_step(part) := part if not regex.match(`^(0|[1-9][0-9]{0,5})$`, part)

_under(at, pointer) if at == pointer

_under(at, pointer) if startswith(at, concat("", [pointer, "/"]))
