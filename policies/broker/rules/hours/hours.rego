# METADATA
# title: Working hours and places
# description: |
#   What changes something runs alone in working hours and from known places. At other times, and
#   from where nobody says, a person decides. Reads are for other families to speak of.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     windows: "When: `days`, `from`, `until` (excluded) and `offset_minutes`, how far that clock is ahead of UTC."
#     places: "For `principal` and `agent`, the values of their attribute `place` that are known."
#     hold: Terms of the hold where they are not the preset's.
#   costs: None until a parameter is set; then one for each change outside of the windows or places.
package broker.rules.hours

import data.lib.calls

tightens_only := true

verdicts contains {
	"effect": "HOLD",
	"code": "OUTSIDE_HOURS",
	"message": "Outside of working hours a person decides.",
	"hold": data.parameters.hours.hold,
} if {
	not calls.only_reads
	count(data.parameters.hours.windows) > 0
	not _open
}

verdicts contains {
	"effect": "HOLD",
	"code": "OUTSIDE_PLACES",
	"message": "From here a person decides.",
	"hold": data.parameters.hours.hold,
} if {
	not calls.only_reads
	some who, places in data.parameters.hours.places
	not _there(who, places)
}

_open if {
	_fit
	some window in data.parameters.hours.windows
	local := _now + (window.offset_minutes * 60000000000)
	time.weekday(local) in window.days
	[hour, minute, _] := time.clock(local)
	at := (hour * 60) + minute
	_minutes(window.from) <= at
	at < _minutes(window.until)
}

# Text of another form would be an error of the built-in; where it is undefined, this is a hold.
_now := time.parse_rfc3339_ns(input.time.now) if {
	is_string(input.time.now)
	regex.match(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$`, input.time.now)
}

_there("principal", places) if input.principal.attributes.place in places

_there("agent", places) if input.agent.attributes.place in places
