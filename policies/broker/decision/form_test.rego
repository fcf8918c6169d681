# A verdict that is not in form is one denial in its family's name, and never goes missing.
package broker.decision_test

_malformed_verdicts := [
	"ALLOW",
	7,
	null,
	[_fine],
	object.remove(_fine, {"effect"}),
	object.remove(_fine, {"code"}),
	object.remove(_fine, {"message"}),
	object.union(_fine, {"effect": "YES"}),
	object.union(_fine, {"effect": "allow"}),
	object.union(_fine, {"code": "read_only"}),
	object.union(_fine, {"code": "READ ONLY"}),
	object.union(_fine, {"code": 7}),
	object.union(_fine, {"message": 7}),
	object.union(_fine, {"more": 7}),
	object.union(_fine, {"hold": {"approvals_required": 1}}),
	object.union(_no, {"hold": {"approvals_required": 1}}),
]

_malformed_terms := [
	"leads",
	null,
	["leads"],
	{"more": 1},
	{"reviewers": "leads"},
	{"reviewers": {"lead": "leads"}},
	{"reviewers": []},
	{"reviewers": [7]},
	{"reviewers": ["leads", 7]},
	{"approvals_required": 0},
	{"approvals_required": "1"},
	{"decide_within_s": 0},
	{"decide_within_s": "60"},
	{"run_within_s": -1},
	{"run_within_s": null},
	{"step_up": "no"},
	{"step_up": 0},
]

test_a_verdict_that_means_nothing_denies if {
	every verdict in _malformed_verdicts {
		_said({"verdicts": {verdict}}) == {_malformed("VERDICT")}
	}
}

test_terms_that_mean_nothing_deny if {
	every terms in _malformed_terms {
		verdict := object.union(_wait, {"hold": terms})
		_said({"verdicts": {verdict}}) == {_malformed("VERDICT")}
	}
}

test_terms_that_the_preset_does_not_complete_deny if {
	every name, _ in _terms.hold {
		terms := object.remove(_terms.hold, {name})
		found := decision_with_hold(terms)
		found == {_malformed("VERDICT")}
	}
}

decision_with_hold(hold) := {object.remove(verdict, {"message"}) | some verdict in found.verdicts} if {
	found := data.broker.decision.decision with data.callbroker as object.union(object.remove(_terms, {"hold"}), {"hold": hold})
		with data.broker.rules.sample as {"verdicts": {_wait}}
}

test_every_term_may_be_a_familys_own if {
	own := {
		"reviewers": ["a", "b"],
		"approvals_required": 2,
		"decide_within_s": 1,
		"run_within_s": 1,
		"step_up": true,
	}
	_said({"verdicts": {object.union(_wait, {"hold": own})}}) == {_held(own)}
	_said({"verdicts": {object.union(_wait, {"hold": {}})}}) == {_held({})}
}
