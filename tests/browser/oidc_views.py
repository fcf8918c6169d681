"""The pages of the tests' identity provider: the toolkit's, a sign-in, and the tests' way in.

`/control` takes what `oidc_claims.control` understands. Importable only once Django is set up.
"""

import json
from typing import Any

from django.contrib.auth.views import LoginView, redirect_to_login
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import include, path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.views import AuthorizationView

from tests.browser import oidc_claims


class Authorization(AuthorizationView):
    """`max_age` too, as OpenID Connect Core 3.1.2.1 has it: an older sign-in is made again."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not _is_asked_anew(request):
            return super().dispatch(request, *args, **kwargs)
        # A sign-in that was just made satisfies both: neither is asked for twice.
        query = request.GET.copy()
        for name in ("max_age", "prompt"):
            query.pop(name, None)
        return redirect_to_login(f"{request.path}?{query.urlencode()}")


def _is_asked_anew(request: HttpRequest) -> bool:
    prompt = request.GET.get("prompt", "").split()
    age = request.GET.get("max_age", "")
    if "login" in prompt or not request.user.is_authenticated:
        return True
    since = timezone.now() - request.user.last_login
    return age.isdigit() and since.total_seconds() > int(age)


@csrf_exempt
def _control(request: HttpRequest) -> HttpResponseBase:
    return JsonResponse(oidc_claims.control(json.loads(request.body)))


urlpatterns = [
    path("o/authorize/", Authorization.as_view()),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("login", LoginView.as_view()),
    path("control", _control),
]
