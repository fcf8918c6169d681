"""The one place where a call is decided, recorded and carried out.

`deciding` looks and decides, `recording` says what is to be written, `carrying` has the effect and
records how it ended; `Enforcer` is the order in which they happen.
"""

from broker.enforcer.enforcer import Enforcer

__all__ = ["Enforcer"]
