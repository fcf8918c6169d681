# METADATA
# title: Fetching an address
# description: |
#   To read from the open world is to send there what stands in the address. Once a session has read
#   what a stranger may have written, only an address that somebody trusted has named is read.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     trusted: Sources of an address that are good enough.
#     clean_sessions_run: Whether a session that has read nothing untrusted may read any address.
#   costs: |
#     One for each address that only a page, mail or file of others has named, or that the model made
#     up, in a session that has read such things.
package broker.rules.fetching

import data.lib.origins

verdicts contains {
	"effect": "ALLOW",
	"code": "ADDRESS_KNOWN",
	"message": "This reads an address that somebody trusted has named.",
} if {
	_fetches
	_all_known
}

verdicts contains {
	"effect": "HOLD",
	"code": "ADDRESS_UNKNOWN",
	"message": "This reads an address that nothing trusted has named, and so may carry data out.",
} if {
	_fetches
	not _all_known
}

_fetches if {
	input.tool.behaviour.read_only == true
	input.tool.behaviour.destructive == false
	input.tool.behaviour.open_world == true
}

_all_known if {
	data.parameters.fetching.clean_sessions_run == true
	origins.clean
}

_all_known if {
	count(_targets) > 0
	every origin in _targets { origin.source in data.parameters.fetching.trusted }
}

_targets := origins.leaves(input.tool.targets)
