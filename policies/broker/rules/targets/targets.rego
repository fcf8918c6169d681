# METADATA
# title: Whom a call reaches
# description: |
#   Once a session has read what a stranger may have written, a call that reaches somebody or
#   destroys something runs only if each target is named by the user's words, a fact, the directory
#   or a trusted tool, or bound to the user by its scope. What reaches nobody is the user's affair.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     trusted: Sources of a target that are good enough.
#     clean_sessions_run: Whether a session that has read nothing untrusted may reach anybody.
#   costs: |
#     One for each call that reaches somebody whom neither user, operator nor record has named, in a
#     session that has read mail, pages or files of others.
package broker.rules.targets

import data.lib.origins

verdicts contains {
	"effect": "ALLOW",
	"code": "OWN_WRITE",
	"message": "This changes only what is the user's own, and can be undone.",
} if {
	_writes
	input.tool.behaviour.destructive == false
	input.tool.behaviour.open_world == false
}

verdicts contains {
	"effect": "ALLOW",
	"code": "NOBODY_REACHED",
	"message": "This names nobody whom it would reach.",
} if {
	_writes
	input.tool.behaviour.destructive == false
	count(_targets) == 0
}

verdicts contains {
	"effect": "ALLOW",
	"code": "TARGETS_KNOWN",
	"message": "Everybody whom this reaches is known.",
} if {
	_writes
	_all_known
}

verdicts contains {
	"effect": "ALLOW",
	"code": "SESSION_CLEAN",
	"message": "This session has read nothing that a stranger wrote.",
} if {
	_writes
	_clean
}

verdicts contains {
	"effect": "HOLD",
	"code": "TARGET_UNTRUSTED",
	"message": "This reaches somebody whom only a stranger's words have named.",
} if {
	not _tame
	some at, origin in _targets
	_strange(at, origin)
}

verdicts contains {
	"effect": "HOLD",
	"code": "TARGET_UNKNOWN",
	"message": "This reaches somebody whom nothing trusted has named.",
} if {
	not _tame
	not _only_untrusted
}

# Nothing here for this family to hold.
_tame if input.tool.behaviour.read_only == true

_tame if {
	input.tool.behaviour.destructive == false
	input.tool.behaviour.open_world == false
}

_tame if {
	input.tool.behaviour.destructive == false
	count(_targets) == 0
}

_tame if _all_known

_tame if _clean

_only_untrusted if {
	some at, origin in _targets
	_strange(at, origin)
}

_writes if input.tool.behaviour.read_only == false

_all_known if {
	count(_targets) > 0
	every at, origin in _targets { _known(at, origin) }
}

_known(_, origin) if origin.source in data.parameters.targets.trusted

_known(at, _) if origins.own(at)

_strange(at, origin) if {
	origin.source in {"untrusted_result", "lookalike"}
	not origins.own(at)
}

_clean if {
	data.parameters.targets.clean_sessions_run == true
	origins.clean
}

_targets := origins.leaves(input.tool.targets)
