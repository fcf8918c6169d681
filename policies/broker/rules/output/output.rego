# METADATA
# title: Results
# description: |
#   What of a result its reader may have: all, all but some places, all but what looks like a secret,
#   or nothing. The call runs all the same. Whom a rule is not proven to spare, it concerns.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     rules: "By a name: `when` (`tools`, `runners`, `trust`, `sensitivity`), `unless` (groups) and `duty` (`withhold`, `redact`, `scan`)."
#   costs: No holds. What is withheld or redacted is missing to the agent, and files beside it are withheld.
package broker.rules.output

import data.lib.calls

tightens_only := true

obligations contains rule.duty if {
	some rule in data.parameters.output.rules
	not _spared(rule)
}

_spared(rule) if calls.another(rule.when)

_spared(rule) if calls.in_one_of(rule.unless)

_spared(rule) if {
	runners := rule.when.runners
	is_string(input.tool.runner)
	not input.tool.runner in runners
}

_spared(rule) if {
	some name in ["trust", "sensitivity"]
	named := rule.when[name]
	declared := input.tool.output[name]
	declared in _declarable[name]
	not declared in named
}

_declarable := {"trust": {"trusted", "untrusted"}, "sensitivity": {"none", "personal", "secret"}}
