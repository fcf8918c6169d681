"""What the tests' identity provider says of its users, and how a test changes that meanwhile."""

from typing import Any

from django.contrib.auth.models import Group, User
from oauth2_provider.models import get_application_model
from oauth2_provider.oauth2_validators import OAuth2Validator

LIES: dict[str, Any] = {}
"""Claims that ID tokens have instead of the true ones; the tokens are signed all the same."""
AHEAD: dict[str, int] = {"s": 0}
"""By how many seconds the provider's clock is ahead, as ID tokens tell."""
_TIMES = ("iat", "nbf", "exp", "auth_time")


class Claims(OAuth2Validator):
    """Subject is the user's name; groups go along whatever the scope."""

    oidc_claim_scope = None

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        user = request.user
        return {
            "sub": user.username,
            "name": user.get_full_name(),
            "preferred_username": user.username,
            "email": user.email,
            "email_verified": True,
            "groups": sorted(user.groups.values_list("name", flat=True)),
        }

    def get_id_token_dictionary(self, token: Any, handler: Any, request: Any) -> Any:
        claims, expires = super().get_id_token_dictionary(token, handler, request)
        times = {name: claims[name] + AHEAD["s"] for name in _TIMES if name in claims}
        return {**claims, **times, **LIES}, expires


def control(wanted: dict[str, Any]) -> dict[str, Any]:
    """Carry out one order of a test: `user`, `client`, `lies` or `ahead_s`."""
    match wanted:
        case {"user": dict() as user}:
            _put_user(**user)
        case {"client": dict() as client}:
            _put_client(**client)
        case {"lies": dict() as lies}:
            LIES.clear()
            LIES.update(lies)
        case {"ahead_s": int(ahead_s)}:
            AHEAD["s"] = ahead_s
        case _:
            raise ValueError(wanted)
    return {}


def _put_user(
    *, name: str, password: str, full_name: str, email: str, groups: list[str], active: bool
) -> None:
    user, _ = User.objects.get_or_create(username=name)
    user.first_name, _, user.last_name = full_name.partition(" ")
    user.email, user.is_active = email, active
    user.set_password(password)
    user.save()
    user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])


def _put_client(*, client_id: str, secret: str, redirect_uris: list[str]) -> None:
    application = get_application_model()
    application.objects.filter(client_id=client_id).delete()
    application.objects.create(
        name=client_id,
        client_id=client_id,
        client_secret=secret,
        client_type=application.CLIENT_CONFIDENTIAL if secret else application.CLIENT_PUBLIC,
        authorization_grant_type=application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=" ".join(redirect_uris),
        algorithm=application.RS256_ALGORITHM,
        skip_authorization=True,
    )
