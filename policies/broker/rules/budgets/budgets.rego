# METADATA
# title: Budgets
# description: |
#   What the manifests' limits count may be watched more closely than the limits themselves do: from
#   one count on a person decides, from another on nobody. Limits stay the floor under it.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     counters: "By counter, of whichever tool has it: `hold_at`, `deny_at`, and `groups` with others for principals in them."
#     tools: By tool and counter, likewise; a tool that lacks the counter is held.
#     hold: Terms of the hold where they are not the preset's.
#   costs: None until a parameter is set; then one for each call past `hold_at`.
package broker.rules.budgets

tightens_only := true

verdicts contains {
	"effect": "HOLD",
	"code": "BUDGET_NEEDS_PERSON",
	"message": "So much was done already that a person decides about more.",
	"hold": data.parameters.budgets.hold,
} if {
	some budget in _budgets
	at := _least(budget.limits, "hold_at")
	not _below(budget.counter, at)
}

verdicts contains {
	"effect": "DENY",
	"code": "BUDGET_SPENT",
	"message": "So much was done already that no more is.",
} if {
	some budget in _budgets
	at := _least(budget.limits, "deny_at")
	not _below(budget.counter, at)
}

_budgets contains {"counter": counter, "limits": limits} if {
	some counter, limits in data.parameters.budgets.counters
	input.usage[counter]
}

_budgets contains {"counter": counter, "limits": limits} if {
	some counter, limits in data.parameters.budgets.tools[input.call.tool]
}

# Of several groups the least counts; a group that says nothing of it leaves it as it is.
_least(limits, name) := at if {
	others := _others(limits, name)
	count(others) > 0
	at := min(others)
} else := limits[name]

_others(limits, name) := {limits.groups[group][name] | some group in input.principal.groups}

# `used` counts what came before this call.
_below(counter, at) if {
	used := input.usage[counter].used
	is_number(used)
	used < at
}
