# METADATA
# title: Searches for users
# description: |
#   A search is how the user of the session is found, so it names that user: their mail address, or
#   at least their family name, since postcodes and addresses are told wrong. The record that it is
#   compared with is the session's principal's own.
# schemas:
#   - input: schema.input
package broker.rules.retail_search

import data.lib.retail

verdicts contains {
	"effect": "DENY",
	"code": "SEARCH_FOR_ANOTHER",
	"message": "Only the user of this session is searched for.",
} if {
	input.call.tool in {"find_user_id_by_email", "find_user_id_by_name_zip"}
	not _for_oneself
}

_for_oneself if lower(input.call.arguments.email) == lower(retail.customer.email)

_for_oneself if {
	[name, _] := split(lower(input.call.arguments.email), "@")
	retail.customer.last_name != ""
	contains(name, lower(retail.customer.last_name))
}

_for_oneself if lower(input.call.arguments.last_name) == lower(retail.customer.last_name)
