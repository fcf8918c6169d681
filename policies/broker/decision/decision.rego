# METADATA
# title: The decision
# description: |
#   Gathers what every rule family says of a call. It combines nothing: the broker takes the
#   strictest verdict. It adds only denials (a family that is missing or speaks nonsense) and,
#   where no family speaks, or only such as say `tightens_only`, the preset's silence, which is
#   HOLD or DENY and never ALLOW.
package broker.decision

# METADATA
# entrypoint: true
decision := {
	"revision": data.callbroker.revision,
	"verdicts": _verdicts,
	"obligations": _obligations,
}

# What the families contribute, malformed or not, each under the name of its family.
_contributed contains {"family": family, "verdict": verdict} if {
	some family in data.callbroker.families
	some verdict in data.broker.rules[family].verdicts
}

_verdicts contains object.union(said.verdict, {"family": said.family}) if {
	some said in _contributed
	_well_formed(said.verdict)
	said.verdict.effect != "HOLD"
}

_verdicts contains object.union(said.verdict, {"family": said.family, "hold": terms}) if {
	some said in _contributed
	_well_formed(said.verdict)
	said.verdict.effect == "HOLD"
	terms := object.union(data.callbroker.hold, object.get(said.verdict, "hold", {}))
}

_verdicts contains {
	"effect": "DENY",
	"code": "VERDICT_MALFORMED",
	"message": "A rule gave an answer that means nothing.",
	"family": said.family,
} if {
	some said in _contributed
	not _well_formed(said.verdict)
}

# A family that vanished must not allow by having nothing to say.
_verdicts contains {
	"effect": "DENY",
	"code": "FAMILY_MISSING",
	"message": "A rule family is missing.",
	"family": family,
} if {
	some family in data.callbroker.families
	not _present(family)
}

_verdicts contains {
	"effect": "DENY",
	"code": "FAMILY_MISSING",
	"message": "The rule families are unknown.",
	"family": "",
} if not _families_known

_verdicts contains {
	"effect": "DENY",
	"code": "OBLIGATION_MALFORMED",
	"message": "A rule named a duty that means nothing.",
	"family": family,
} if {
	some family in data.callbroker.families
	some obligation in data.broker.rules[family].obligations
	not _dutiful(obligation)
}

_verdicts contains {
	"effect": "DENY",
	"code": "OBLIGATION_MALFORMED",
	"message": "A rule named a duty that means nothing.",
	"family": family,
} if {
	some family in data.callbroker.families
	type_name(data.broker.rules[family].obligations) != "set"
}

_verdicts contains {
	"effect": "HOLD",
	"code": "SILENCE",
	"message": "No rule speaks for this call.",
	"family": "",
	"hold": data.callbroker.hold,
} if {
	not _spoken
	_silence_holds
}

_verdicts contains {
	"effect": "DENY",
	"code": "SILENCE",
	"message": "No rule speaks for this call.",
	"family": "",
} if {
	not _spoken
	not _silence_holds
}

_obligations contains object.union(obligation, {"family": family}) if {
	some family in data.callbroker.families
	some obligation in data.broker.rules[family].obligations
	_dutiful(obligation)
}

_silence_holds if data.callbroker.silence == "HOLD"

_families_known if {
	is_array(data.callbroker.families)
	count(data.callbroker.families) > 0
}
