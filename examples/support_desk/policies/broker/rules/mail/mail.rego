# METADATA
# title: Mail
# description: |
#   Mail goes to the shop's own contacts and to the asking customer. A mail to anybody else, or to
#   many at once, waits for a person. Who is known is a fact from the shop's records.
# schemas:
#   - input: schema.input
#   - input.call.arguments: schema.tools.send_mail.arguments
package broker.rules.mail

verdicts contains verdict if {
	input.call.tool == "send_mail"
	some verdict in _verdicts
}

_verdicts contains {
	"effect": "ALLOW",
	"code": "MAIL_TO_KNOWN",
	"message": "Everybody addressed is known to the shop.",
} if _known

_verdicts contains {
	"effect": "HOLD",
	"code": "MAIL_TO_STRANGER",
	"message": "A mail to an address that the shop does not know is decided by a person.",
	"hold": {"reviewers": ["support-leads"]},
} if not _known

_verdicts contains {
	"effect": "HOLD",
	"code": "MAIL_TO_MANY",
	"message": "A mail to many is decided by a person.",
	"hold": {"reviewers": ["support-leads"]},
} if not _few

# A fact that failed has no value, and nobody is known; an empty list of addresses is nobody known.
_known if {
	mails := {row.mail | some row in input.facts.known.value}
	count(input.call.arguments.to) > 0
	every address in input.call.arguments.to { address in mails }
}

_few if count(input.call.arguments.to) <= data.parameters.mail.unattended_recipients_max
