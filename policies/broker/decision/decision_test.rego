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

_no := {"effect": "DENY", "code": "READ_ONLY", "message": "No."}

_wait := {"effect": "HOLD", "code": "TARGET_UNTRUSTED", "message": "Wait."}

_silent(effect) := {"effect": effect, "code": "SILENCE", "family": ""}

_missing(family) := {"effect": "DENY", "code": "FAMILY_MISSING", "family": family}

_malformed(kind) := {"effect": "DENY", "code": sprintf("%s_MALFORMED", [kind]), "family": "sample"}

_bare(verdict) := object.remove(object.union(verdict, {"family": "sample"}), {"message"})

_held(terms) := object.union(_bare(_wait), {"hold": object.union(_terms.hold, terms)})

# The whole answer but for what people read.
_answer(family, terms) := {
	"verdicts": {object.remove(verdict, {"message"}) | some verdict in found.verdicts},
	"obligations": found.obligations,
} if {
	found := decision.decision with data.callbroker as object.union(_terms, terms)
		with data.broker.rules.sample as family
}

_said(family) := _answer(family, {}).verdicts

test_the_answer_names_its_revision if {
	found := decision.decision with data.callbroker as _terms
		with data.broker.rules.sample as {"verdicts": {_fine}}
	found.revision == "sha256:test"
}

test_what_a_family_says_is_the_answer if {
	_said({"verdicts": {_fine}}) == {_bare(_fine)}
	_said({"verdicts": {_fine, _no}}) == {_bare(_fine), _bare(_no)}
}

test_a_hold_is_completed_by_the_preset if {
	_said({"verdicts": {_wait}}) == {_held({})}
	own := {"reviewers": ["leads"], "approvals_required": 2}
	_said({"verdicts": {object.union(_wait, {"hold": own})}}) == {_held(own)}
}

test_where_no_family_speaks_silence_is_the_presets if {
	_said({"verdicts": set()}) == {object.union(_silent("HOLD"), {"hold": _terms.hold})}
	_answer({"verdicts": set()}, {"silence": "DENY"}).verdicts == {_silent("DENY")}
	_answer({"verdicts": set()}, {"silence": "ALLOW"}).verdicts == {_silent("DENY")}
}

test_a_family_that_only_tightens_does_not_break_silence if {
	tightens := {"tightens_only": true, "verdicts": {_wait}}
	_answer(tightens, {"silence": "DENY"}).verdicts == {_held({}), _silent("DENY")}
	loosens := {"tightens_only": false, "verdicts": {_wait}}
	_answer(loosens, {"silence": "DENY"}).verdicts == {_held({})}
}

test_a_family_that_is_missing_denies if {
	_missing("sample") in _said({})
	_missing("sample") in _said({"verdicts": [_fine]})
}

test_families_that_nobody_knows_deny if {
	every families in [[], {}, "sample", null, {"sample": "sample"}, {"sample"}] {
		_missing("") in _answer({"verdicts": {_fine}}, {"families": families}).verdicts
	}
}

test_a_duty_goes_with_its_familys_name if {
	duty := {"kind": "profile", "profile": "strict"}
	found := _answer({"verdicts": {_fine}, "obligations": {duty}}, {})
	found.obligations == {object.union(duty, {"family": "sample"})}
	found.verdicts == {_bare(_fine)}
}

test_a_duty_that_means_nothing_denies_and_is_none if {
	every duty in [{"kind": 1}, {}, "kind", 7, {"kind": "x", "family": "other"}] {
		found := _answer({"verdicts": {_fine}, "obligations": {duty}}, {})
		found == {"verdicts": {_bare(_fine), _malformed("OBLIGATION")}, "obligations": set()}
	}
}

test_duties_that_are_no_set_deny if {
	every duties in [[{"kind": "x"}], {"kind": "x"}, "x", null] {
		_malformed("OBLIGATION") in _said({"verdicts": {_fine}, "obligations": duties})
	}
}
