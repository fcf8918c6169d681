# METADATA
# title: Deletes
# description: What cannot be taken back is decided by a person, whoever asks.
# schemas:
#   - input: schema.input
package broker.rules.deletes

verdicts contains {
	"effect": "HOLD",
	"code": "DELETE_NEEDS_PERSON",
	"message": "What cannot be taken back is decided by a person.",
	"hold": {"reviewers": ["support-leads"]},
} if input.call.tool in data.parameters.deletes.tools
