"""An OpenID Connect provider as a process of its own, with users that a test makes.

It answers as `localhost` and pages of the broker as 127.0.0.1, so that to a browser they are two
sites, as they are in a company.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30
PASSWORD = "a lamp for the hallway"


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProvider:
    """A provider that serves.

    It does the code flow, demands PKCE, repeats the nonce, puts `auth_time` into every ID token,
    and asks for a password anew at `prompt=login` and at a `max_age` that has passed.

    Attributes:
        issuer: below it is `/.well-known/openid-configuration`.
    """

    issuer: str
    client_id: str = "callbroker"
    client_secret: str = "between the broker and the provider"

    def put_user(
        self,
        name: str,
        *,
        groups: Sequence[str] = (),
        full_name: str = "",
        email: str = "",
        active: bool = True,
    ) -> None:
        """Make a user, or make another of them; `name` is the subject, PASSWORD the password."""
        self._order(
            user={
                "name": name,
                "password": PASSWORD,
                "full_name": full_name or name,
                "email": email or f"{name}@example.org",
                "groups": list(groups),
                "active": active,
            }
        )

    def put_client(self, *redirect_uris: str) -> None:
        """Take the broker as a client; a loopback address counts on whatever port."""
        self._order(
            client={
                "client_id": self.client_id,
                "secret": self.client_secret,
                "redirect_uris": list(redirect_uris),
            }
        )

    @contextlib.contextmanager
    def lying(self, claims: Mapping[str, Any]) -> Iterator[None]:
        """Have ID tokens say something else, validly signed, while the block runs."""
        self._order(lies=dict(claims))
        try:
            yield
        finally:
            self._order(lies={})

    def set_clock(self, *, ahead_s: float) -> None:
        """Have the provider's clock go ahead of the machine's."""
        self._order(ahead_s=round(ahead_s))

    def sign_in(self, page: Page, name: str) -> None:
        """Fill in the provider's sign-in page, which `page` shows, and go where it leads."""
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()

    def _order(self, **wanted: Any) -> None:
        request = urllib.request.Request(
            self.issuer.removesuffix("/o") + "/control",
            data=json.dumps(wanted).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            assert answer.status == 200


@contextlib.contextmanager
def serving_oidc() -> Iterator[OidcProvider]:
    """Start a provider that knows nobody, and stop it on leaving."""
    with tempfile.TemporaryDirectory(prefix="oidc-") as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.oidc_server", directory],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            issuer = process.stdout.readline().strip()
            assert issuer, "the identity provider ended early"
            yield OidcProvider(issuer=issuer)
        finally:
            process.kill()
            process.wait(timeout=DEADLINE_S)
            process.stdout.close()
