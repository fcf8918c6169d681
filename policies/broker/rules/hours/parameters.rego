package broker.rules.hours

import data.lib.forms

_weekdays := {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

verdicts contains {
	"effect": "DENY",
	"code": "PARAMETERS_INVALID",
	"message": "The parameters of the family hours mean nothing.",
} if not _fit

_fit if {
	parameters := data.parameters.hours
	forms.closed(parameters, {"windows", "places", "hold"})
	is_object(parameters.hold)
	is_array(parameters.windows)
	every window in parameters.windows { _window_fits(window) }
	forms.closed(parameters.places, {"principal", "agent"})
	every places in parameters.places { forms.one_or_more_texts(places) }
}

_window_fits(window) if {
	forms.closed(window, {"days", "from", "until", "offset_minutes"})
	forms.one_or_more_texts(window.days)
	every day in window.days { day in _weekdays }
	_minutes(window.from) < _minutes(window.until)
	is_number(window.offset_minutes)
	window.offset_minutes >= -720
	window.offset_minutes <= 840
	round(window.offset_minutes) == window.offset_minutes
}

# Minutes since midnight of a time of day, `24:00` included.
_minutes(text) := (_number(substring(text, 0, 2)) * 60) + _number(substring(text, 3, 2)) if {
	is_string(text)
	regex.match(`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`, text)
}

_number(digits) := to_number(trim_left(digits, "0")) if digits != "00"

_number("00") := 0
