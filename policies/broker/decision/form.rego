# The form and the weight of what families contribute. The broker checks the same again when it reads the answer;
# here a family's mistake is laid at that family's door.
package broker.decision

_present(family) if is_set(data.broker.rules[family].verdicts)

# A verdict whose terms the preset cannot complete is malformed: it must not go missing.
_well_formed(verdict) if {
	is_object(verdict)
	object.keys(verdict) - {"effect", "code", "message", "hold"} == set()
	verdict.effect in {"DENY", "HOLD", "ALLOW"}
	is_string(verdict.code)
	regex.match(`^[A-Z][A-Z0-9_]{0,62}$`, verdict.code)
	is_string(verdict.message)
	_terms_fit(verdict.effect, object.get(verdict, "hold", {}))
}

_terms_fit(effect, {}) if effect != "HOLD"

_terms_fit("HOLD", partial) if {
	is_object(partial)
	terms := object.union(data.callbroker.hold, partial)
	object.keys(terms) == {
		"reviewers",
		"approvals_required",
		"decide_within_s",
		"run_within_s",
		"step_up",
	}
	is_array(terms.reviewers)
	count(terms.reviewers) > 0
	every group in terms.reviewers { is_string(group) }
	_positive(terms.approvals_required)
	_positive(terms.decide_within_s)
	_positive(terms.run_within_s)
	is_boolean(terms.step_up)
}

_positive(number) if {
	is_number(number)
	number > 0
}

_dutiful(obligation) if {
	is_object(obligation)
	is_string(obligation.kind)
	object.get(obligation, "family", null) == null
}

# A family that only adds conditions is no word for a call: under a preset that denies what no rule
# speaks for, its HOLD would else stand where the denial stood.
_spoken if {
	some said in _contributed
	not _only_tightens(said.family)
}

_only_tightens(family) if data.broker.rules[family].tightens_only
