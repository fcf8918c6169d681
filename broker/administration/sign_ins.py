"""Who is signed in at the review page, and out again at an operator's word.

A sign-in is named by the first digits of its digest, as the log names it: from neither does anybody
get the secret that is in the browser's cookie.
"""

from collections.abc import Sequence

from broker.administration.changes import required_reason
from broker.core.credentials import Credential
from broker.core.errors import NotFound
from broker.core.sign_ins import SignIn
from broker.sign_ins import SignIns


class SignInAdministration:
    """Lists sign-ins and ends them."""

    def __init__(self, *, sign_ins: SignIns) -> None:
        self._sign_ins = sign_ins

    async def good(self) -> Sequence[SignIn]:
        """Those that are good now, newest first."""
        return await self._sign_ins.good()

    async def revoke(self, operator: Credential, name: str, *, reason: str) -> SignIn:
        """End one, for its browser and for good; its live pages end within seconds.

        Raises:
            NotFound: none of this name is good.
            MalformedRequest: no reason.
        """
        why = required_reason(reason)
        for one in await self._sign_ins.good():
            if one.name == name:
                await self._sign_ins.end(one, actor=operator.subject, reason=why)
                return one
        raise NotFound("There is no such sign-in.")
