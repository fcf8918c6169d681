# METADATA
# title: Destructive tools
# description: |
#   What may destroy something waits for a person unless the broker has looked up what it is about
#   to destroy, or the user has typed exactly what. A fact that failed, or that found nothing, is no
#   look.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     named: Sources of a target that are as good as a look.
#   costs: |
#     A hold for each call of a tool that is not declared `destructive: false` and has no fact, where
#     the user did not type each target; none once its manifest has a fact. Two codes where no other
#     rule speaks for the tool.
package broker.rules.destructive

import data.lib.origins

# A word of this family is no reason to allow: the preset's silence stays where no other speaks.
tightens_only := true

verdicts contains {
	"effect": "HOLD",
	"code": "DESTRUCTIVE_WITHOUT_FACT",
	"message": "This may destroy something that nothing was looked up about.",
} if {
	not _harmless
	not _looked_up
	not _named
}

verdicts contains {
	"effect": "HOLD",
	"code": "DESTRUCTIVE_FACT_FAILED",
	"message": "This may destroy something, and a look-up about it failed.",
} if {
	not _harmless
	some fact in input.facts
	not _answered(fact)
}

_harmless if input.tool.behaviour.destructive == false

_looked_up if {
	some fact in input.facts
	not fact.value in {null, [], {}, ""}
}

_named if {
	count(_targets) > 0
	every origin in _targets { origin.source in data.parameters.destructive.named }
}

_targets := origins.leaves(input.tool.targets)

_answered(fact) if fact.value != null

# The manifest says that there may be none.
_answered(fact) if fact.absent == true
