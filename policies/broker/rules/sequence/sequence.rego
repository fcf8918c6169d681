# METADATA
# title: Sequence
# description: |
#   What is harmless alone may not be so after something else: a payment after a stranger's mail was
#   read, a delete after a denial. Which, is in parameters; the past is the session's.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     rules: "By a name: `after` (a `tool` and how it was `decided`, or a session's `label`), `then` (`tools`, `behaviour`) and `effect`."
#     hold: Terms of the hold where they are not the preset's.
#   costs: |
#     None until a parameter is set; then one for each call that `then` means in a session where
#     `after` has happened. With `strict`, each change after something untrusted was read.
package broker.rules.sequence

import data.lib.calls

tightens_only := true

verdicts contains {
	"effect": "HOLD",
	"code": "SEQUENCE_NEEDS_PERSON",
	"message": "After what this session has done or read, a person decides.",
	"hold": data.parameters.sequence.hold,
} if "HOLD" in _effects

verdicts contains {
	"effect": "DENY",
	"code": "SEQUENCE_FORBIDDEN",
	"message": "This may not follow what this session has done or read.",
} if "DENY" in _effects

_effects contains rule.effect if {
	some rule in data.parameters.sequence.rules
	not calls.another(rule.then)
	not _not_yet(rule.after)
}

_not_yet(after) if {
	decided := object.get(after, "decided", "ALLOW")
	is_object(input.history)
	not _happened(after.tool, decided)
}

_not_yet(after) if {
	label := after.label
	is_array(input.session.labels)
	not label in input.session.labels
}

_happened(tool, decided) if input.history[tool][decided].count > 0
