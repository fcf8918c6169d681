# METADATA
# title: Notes
# description: What cannot be taken back is decided by a person. Reading is the shipped families' matter.
# schemas:
#   - input: schema.input
package broker.rules.notes

verdicts contains {
	"effect": "HOLD",
	"code": "DELETE_NEEDS_PERSON",
	"message": "A person decides before a note is deleted.",
	"hold": {"reviewers": ["reviewers"], "approvals_required": 1},
} if input.call.tool == "delete_note"
