# METADATA
# title: What a call carries out
# description: |
#   Once a session has read what a stranger may have written, nothing that such a reading put into a
#   message leaves for somebody whom the user has not named, no link of a stranger's for anybody, and
#   nothing sensitive for somebody who was not approved for it. To those who are only known goes what
#   the user said, and what is too brief to say anything.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     named: Sources of a target whom the user, or a record about the call, has named.
#     quote_characters_min: Length from which on a payload may be a stranger's message.
#     carried: Sources of a payload that may leave for the others who are known.
#     said: Those of a payload that may leave for somebody whom the user does not even speak of.
#     brief_characters_max: Length up to which a word or a date of other sources may, too.
#     kept_characters_min: Length from which on a payload that nobody is sent may be a stranger's words to remember.
#   costs: |
#     One for each message to a known person that quotes a stranger, or holds what is sensitive, where
#     the user did not name that person; that is not the user's own words, where the user does not
#     speak of that person; that passes a stranger's link on; and for each note of a stranger's words
#     in which nothing is the user's.
package broker.rules.egress

import data.lib.origins

# A word of this family is no reason to allow: the preset's silence stays where no other speaks.
tightens_only := true

verdicts contains {
	"effect": "HOLD",
	"code": "PAYLOAD_UNTRUSTED",
	"message": "This carries a stranger's words to somebody whom the user did not name.",
} if {
	not _stays
	not _named
	not _own_words
}

verdicts contains {
	"effect": "HOLD",
	"code": "PAYLOAD_SENSITIVE",
	"message": "This carries something sensitive to somebody who was not approved for it.",
} if {
	not _stays
	not _harmless
}

_stays if input.tool.behaviour.open_world == false

_stays if input.tool.behaviour.read_only == true

_stays if origins.clean

_named if {
	every origin in _targets { _meant(origin) }
}

_meant(origin) if origin.source in data.parameters.egress.named

# A known person whom the user speaks of by name.
_meant(origin) if {
	origin.source == "directory"
	origin.asked == true
}

_own_words if {
	every origin in _payload { _ordinary(origin) }
}

_ordinary(origin) if origin.source in data.parameters.egress.carried

# Too short to tell anybody anything that a stranger wants told: a date, a number, a subject.
_ordinary(origin) if origin.characters < data.parameters.egress.quote_characters_min

_harmless if {
	every origin in _payload { _may_leave(origin) }
}

_may_leave(origin) if origin.carries == "none"

_may_leave(_) if _named

_may_leave(origin) if {
	every target in _targets { _approved(target, origin.carries) }
}

_approved(target, "personal") if target.approved in {"personal", "secret"}

_approved(target, "secret") if target.approved == "secret"

_targets := origins.leaves(input.tool.targets)

_payload := origins.leaves(input.tool.payload)
