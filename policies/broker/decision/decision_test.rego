# What the entry point adds by itself, for `opa test -b policies`; each family's own cases are
# tables beside it, which `callbroker policy test` runs.
package broker.decision_test

import data.broker.decision

_terms := {
	"revision": "sha256:test",
	"families": ["sample"],
	"silence": "HOLD",
	"hold": {
		"reviewers": ["reviewers"],
		"approvals_required": 1,
		"decide_within_s": 60,
		"run_within_s": 60,
		"step_up": false,
	},
}

_fine := {"effect": "ALLOW", "code": "READ_ONLY", "message": "Fine."}

_said(family) := {[verdict.effect, verdict.code] | some verdict in found.verdicts} if {
	found := decision.decision with data.callbroker as _terms
		with data.broker.rules.sample as family
}

test_what_a_family_says_is_the_answer if _said({"verdicts": {_fine}}) == {["ALLOW", "READ_ONLY"]}

test_where_no_family_speaks_silence_holds if {
	_said({"verdicts": set()}) == {["HOLD", "SILENCE"]}
}

test_a_family_that_is_missing_denies if ["DENY", "FAMILY_MISSING"] in _said({})

test_a_verdict_that_means_nothing_denies if {
	_said({"verdicts": {object.union(_fine, {"effect": "YES"})}}) == {["DENY", "VERDICT_MALFORMED"]}
}

test_a_duty_that_means_nothing_denies if {
	said := _said({"verdicts": {_fine}, "obligations": {{"kind": 1}}})
	["DENY", "OBLIGATION_MALFORMED"] in said
}
