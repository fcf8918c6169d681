"""Callbroker: an AI agent's tool calls, decided and carried out by what the model cannot talk to.

  proto ─ rpc ─▶ enforcer ──▶ deciding   resolve, screen, gather, floor, question, evaluate, settle
                    │         recording  one unit of work: state and audit entry, before the effect
                    │         carrying   the runner, the only effect in the world; then the outcome
                    ├─▶ policy  real OPA    ├─▶ facts  systems of record
                    ├─▶ tools   runners     └─▶ store  rows, chain, signed heads

core            what is true of calls, decisions, holds, scopes, manifests and the log; pure
ports           what the use cases need of the world
policy, facts, store, tools   adapters behind the ports
enforcer, reviews, sessions, administration   the use cases
rpc, cli, sdk   the edges; `sdk` is all that an agent, a host or a worker installs
app             puts it together
"""

__version__ = "0.1.0"
