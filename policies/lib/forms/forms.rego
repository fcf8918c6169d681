# METADATA
# title: Forms of parameters
# description: |
#   What families expect parameters to be. Each is positive and false of what is missing: a family
#   whose parameters do not fit denies, so that a misspelt one cannot pass for none.
package lib.forms

# An object with members of no other names than these.
closed(value, names) if {
	is_object(value)
	object.keys(value) - names == set()
}

texts(value) if {
	is_array(value)
	every text in value { _text(text) }
}

one_or_more_texts(value) if {
	texts(value)
	count(value) > 0
}

amount(value) if {
	is_number(value)
	value >= 0
}

# A JSON Pointer to members of objects, without escapes.
pointer(value) if {
	is_string(value)
	regex.match(`^(/[A-Za-z0-9_.-]{1,64}){1,8}$`, value)
}

_text(value) if {
	is_string(value)
	value != ""
}
