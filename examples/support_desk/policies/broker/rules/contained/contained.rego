# METADATA
# title: Code
# description: |
#   Code that a model wrote runs, and never anywhere but in a container. Once strangers have spoken
#   in a session (a mail, a document, a file that nobody vouches for), whatever the model writes may
#   be theirs, and its container is the tightest.
# schemas:
#   - input: schema.input
package broker.rules.contained

verdicts contains verdict if {
	_is_code
	some verdict in _verdicts
}

_verdicts contains {
	"effect": "ALLOW",
	"code": "CODE_CONTAINED",
	"message": "Code runs in a container of its own.",
} if _contained

_verdicts contains {
	"effect": "DENY",
	"code": "CODE_NOT_CONTAINED",
	"message": "Code runs in a container or not at all.",
} if not _contained

obligations contains {"kind": "profile", "profile": "strict"} if {
	_is_code
	_strangers_spoke
}

_is_code if input.call.tool in {"run_python", "run_shell"}

_contained if input.tool.runner == "sandbox"

_strangers_spoke if {
	some tool in {"read_mail", "read_document"}
	input.history[tool].ALLOW.count > 0
}

_strangers_spoke if {
	some artefact in input.artefacts
	artefact.trust != "trusted"
}
