"""The one place where a call is decided, recorded and carried out.

`deciding` looks and decides, `recording` says what is to be written, `committing` writes it,
`carrying` has the effect, `files` are what it is handed and leaves, `concluding` says what that
makes of the call and `ending` records it. `Enforcer` is the order in which they happen, `resuming`
the same for an approved hold, `recovery` what comes after a crash.
"""

from broker.enforcer.enforcer import Enforcer

__all__ = ["Enforcer"]
