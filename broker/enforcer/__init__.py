"""The one place where a call is decided, recorded and carried out.

`deciding` looks and decides, `recording` says what is to be written, `committing` writes it,
`carrying` has the effect and `ending` records how it ended. `Enforcer` is the order in which they
happen, `resuming` the same for an approved hold, `recovery` what comes after a crash.
"""

from broker.enforcer.enforcer import Enforcer

__all__ = ["Enforcer"]
