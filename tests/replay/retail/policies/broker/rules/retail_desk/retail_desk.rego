# METADATA
# title: The desk
# description: Handing a conversation over to a person is always open to the agent.
# schemas:
#   - input: schema.input
package broker.rules.retail_desk

verdicts contains {
	"effect": "ALLOW",
	"code": "HAND_OVER",
	"message": "A person may always be asked.",
} if input.call.tool == "transfer_to_human_agents"
