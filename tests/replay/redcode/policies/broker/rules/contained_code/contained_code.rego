# METADATA
# title: Contained code
# description: |
#   Code runs where it can reach nothing, whatever it is. Anywhere else this family says nothing,
#   and a person decides.
# schemas:
#   - input: schema.input
package broker.rules.contained_code

verdicts contains {
	"effect": "ALLOW",
	"code": "CODE_CONTAINED",
	"message": "Code runs in a container of its own.",
} if {
	input.call.tool == "run_code"
	input.tool.runner == "sandbox"
}
