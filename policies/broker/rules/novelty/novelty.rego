# METADATA
# title: Novelty
# description: |
#   The first time that a principal reaches somebody by a tool, a person decides; once that call has
#   taken effect they are known, to this principal and by this tool. The same value alone is known:
#   another spelling is somebody new.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     rules: "By a name: `when` (`tools`, `behaviour`) and, where other tools vouch for a target too, `reached_by`, all that do."
#     hold: Terms of the hold where they are not the preset's.
#   costs: |
#     None until a parameter is set; then one for each target that a principal reaches for the first
#     time, and each call of a tool that only reads, which makes nobody known. With `strict`, for
#     whoever is reached outside.
package broker.rules.novelty

import data.lib.calls
import data.lib.origins

tightens_only := true

verdicts contains {
	"effect": "HOLD",
	"code": "TARGET_NEW",
	"message": "This reaches somebody for the first time.",
	"hold": data.parameters.novelty.hold,
} if {
	some rule in data.parameters.novelty.rules
	not calls.another(rule.when)
	not _all_known(rule)
}

# A call that reaches more than the broker remembers has targets of which nothing is told.
_all_known(rule) if {
	targets := origins.leaves(input.tool.targets)
	every at, _ in targets { _known(at, rule) }
}

_known(at, rule) if {
	some tool in _vouching(rule)
	times := input.reached[at][tool].count
	is_number(times)
	times > 0
}

_vouching(rule) := object.get(rule, "reached_by", [input.call.tool])
