"""Tokens that somebody else has signed, as `identity` needs to know them."""

from typing import Protocol

from broker.core.credentials import Credential


class KeysWanted(Exception):
    """A token cannot be judged yet: its issuer's keys are to be asked for."""

    def __init__(self, issuer: str) -> None:
        super().__init__(issuer)
        self.issuer = issuer


class AccessTokens(Protocol):
    """Turns an access token into what an operator has put in force for whom it names."""

    def read(self, token: str) -> tuple[Credential, ...]:
        """Whom a token stands for; more than one where its audience is open to several classes.

        Raises:
            Unauthenticated: it counts for nothing, or nobody here is bound to it.
            IssuerUnavailable: its issuer's keys are too old to count, and cannot be had.
            KeysWanted: `renew` may make it readable.
        """
        ...

    def recheck(self, credential: Credential) -> bool:
        """Whether what a token stood for is in force still; its own end is the credential's."""
        ...

    async def renew(self, issuer: str) -> None:
        """Ask an issuer for its keys, unless that was done just now. Never raises."""
        ...
