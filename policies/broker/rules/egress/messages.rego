package broker.rules.egress

import data.lib.origins

verdicts contains {
	"effect": "HOLD",
	"code": "PAYLOAD_UNASKED",
	"message": "This tells what the user did not say to somebody whom the user does not speak of.",
} if {
	not _stays
	not _named
	not _unknown
	not _said
}

verdicts contains {
	"effect": "HOLD",
	"code": "PAYLOAD_LINK",
	"message": "This passes on a link that a stranger has given.",
} if {
	not _stays
	not _linkless
}

verdicts contains {
	"effect": "HOLD",
	"code": "PAYLOAD_KEPT",
	"message": "This writes down a stranger's words, and nothing that the user said.",
} if {
	not input.tool.behaviour.read_only == true
	not origins.clean
	not _reaches
	not _own_notes
	not _users
}

# Whom nothing knows at all is for the family targets to stop.
_unknown if {
	some target in _targets
	target.source in {"untrusted_result", "lookalike", "unseen", "weak"}
}

_said if {
	every at, origin in _payload { _sayable(at, origin) }
}

_sayable(_, origin) if origin.source in data.parameters.egress.said

# All but the user's own words.
_sayable(_, origin) if {
	origin.source == "unseen"
	origin.asked == true
}

# A word or a date; an amount, a code or an identifier is a message of its own.
_sayable(at, origin) if {
	every target in _targets { target.source == "directory" }
	origin.characters <= data.parameters.egress.brief_characters_max
	text := origins.value(at)
	is_string(text)
	regex.match(`^([^0-9]*|[0-9]{4}-[0-9]{2}-[0-9]{2})$`, text)
}

_linkless if {
	every at, origin in _payload { _leads_nowhere(at, origin) }
}

_leads_nowhere(_, origin) if origin.source in data.parameters.egress.carried

# No link as programs find one in a text: with a scheme, `www.` or a path behind a host.
_leads_nowhere(at, _) if {
	text := origins.value(at)
	is_string(text)
	not regex.match(`^(?is:.*(://|www[.]|[a-z0-9-][.][a-z]{2,}/).*)$`, text)
}

_leads_nowhere(at, _) if is_number(origins.value(at))

# What is not proven to reach nobody may be for somebody.
_reaches if {
	not input.tool.behaviour.open_world == false
	not _alone
}

_alone if count(_targets) == 0

_own_notes if {
	every origin in _payload { _notable(origin) }
}

_notable(origin) if origin.source in data.parameters.egress.carried

_notable(origin) if origin.characters < data.parameters.egress.kept_characters_min

# Something here is the user's, if only what the note is called.
_users if {
	some origin in input.provenance
	origin.source == "words"
}

_users if {
	some origin in input.provenance
	origin.asked == true
}
