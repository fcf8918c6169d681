# METADATA
# title: Behaviour
# description: |
#   What the operator declares to read only, from a closed world, runs. Of everything else this
#   family says nothing: until a rule speaks for it, the preset's silence decides.
# schemas:
#   - input: schema.input
# custom:
#   costs: No holds; it allows.
package broker.rules.behaviour

verdicts contains {
	"effect": "ALLOW",
	"code": "READ_ONLY",
	"message": "This tool only reads.",
} if {
	input.tool.behaviour.read_only == true
	input.tool.behaviour.destructive == false
	input.tool.behaviour.open_world == false
}
