# METADATA
# title: Which calls a parameter means
# description: |
#   A parameter says which calls it is for. A call is spared where it is proven to be another; what
#   cannot be told is not spared. So each function here is positive, and rules negate it.
# schemas:
#   - input: schema.input
package lib.calls

only_reads if input.tool.behaviour.read_only == true

# Whether `when` names tools or behaviour that this call's is not. What it does not name is any.
another(when) if {
	tools := when.tools
	tool := input.call.tool
	is_string(tool)
	not tool in tools
}

another(when) if {
	some flag, wanted in when.behaviour
	found := input.tool.behaviour[flag]
	is_boolean(found)
	found != wanted
}

# Whether the principal is in one of these groups.
in_one_of(groups) if {
	some group in groups
	group in input.principal.groups
}
