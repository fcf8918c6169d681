# METADATA
# title: Code in sandboxes
# description: |
#   What runs where there is no way out, and is not declared to reach or destroy anything outside,
#   runs alone: whatever it does stays in its container. Which isolation a call gets may depend on
#   what the session has read and on the files that the call names.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     isolated: Isolations without a way out.
#     profiles: "By `untrusted`, `personal` or `secret`: the `profile` that a call gets, unless the manifest's is `enough`."
#   costs: No holds; it allows.
package broker.rules.code

verdicts contains {
	"effect": "ALLOW",
	"code": "CODE_CONTAINED",
	"message": "What this does stays in a container of its own.",
} if {
	_sandboxed
	input.tool.sandbox.profile in data.parameters.code.isolated
	input.tool.behaviour.open_world == false
	input.tool.behaviour.destructive == false
}

# No profile is named for a mark that the call is proven not to have.
obligations contains {"kind": "profile", "profile": wanted.profile} if {
	_sandboxed
	some mark, wanted in data.parameters.code.profiles
	not _unmarked(mark)
	not _enough(wanted)
}

_sandboxed if input.tool.runner == "sandbox"

_unmarked(mark) if {
	is_array(input.session.labels)
	is_object(input.artefacts)
	not mark in _marks
}

_marks contains label if some label in input.session.labels

_marks contains artefact.trust if some artefact in input.artefacts

_marks contains artefact.sensitivity if some artefact in input.artefacts

_enough(wanted) if input.tool.sandbox.profile in wanted.enough
