# METADATA
# title: Articles
# description: |
#   An article is read by those whom the knowledge base names as its readers, by group; the agent
#   sees what the asking user may see. The worker enforces the same when it fetches and searches.
# schemas:
#   - input: schema.input
package broker.rules.articles

verdicts contains {
	"effect": "DENY",
	"code": "ARTICLE_NOT_READABLE",
	"message": "There is no such article for this user.",
} if {
	input.call.tool == "read_article"
	not _readable
}

_readable if {
	some row in input.facts.readers.value
	row.reader in input.principal.groups
}
