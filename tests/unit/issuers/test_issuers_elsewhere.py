"""An issuer over real HTTP, as the settings name it: found, asked, bounded."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from joserfc.jwk import ECKey

from broker.config import Settings
from broker.core.calls import Person
from broker.core.control import Control
from broker.core.credentials import Credential, CredentialClass, bindings_of
from broker.core.errors import IssuerUnavailable
from broker.identity import Identity
from broker.issuers.bounded import ANSWER_BYTES_MAX
from broker.named_in_settings import issued_tokens_of
from tests.fakes.token_issuer import signed
from tests.world import NOW

KEY = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})


@contextlib.contextmanager
def issuer(*, padding: int = 0, location: str = "") -> Iterator[str]:
    """Its address; its answers are padded, or lead elsewhere."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here = f"http://127.0.0.1:{self.server.server_address[1]}"
            told: dict[str, Any] = {"issuer": here, "jwks_uri": f"{here}/keys"}
            if self.path == "/keys":
                told = {"keys": [KEY.as_dict(private=False)], "pad": "x" * padding}
            body = json.dumps(told).encode()
            self.send_response(302 if location else 200)
            if location:
                self.send_header("location", location)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def identity(address: str) -> Identity:
    settings = Settings(jwt=[{"issuer": address, "audiences": {"worker": "callbroker-worker"}}])
    row = Credential(
        name="credentials/1",
        credential_class=CredentialClass.WORKER,
        subject="workers/shop",
        person=None,
        tools=("refund",),
        digest=b"",
        created_at=NOW,
        expires_at=NOW + 1_000,
        identity=f"{address}#shop",
    )
    control = Control(
        revision=1,
        policy_revision="",
        tools={},
        grants=(),
        freezes=(),
        agents={},
        credentials={},
        bindings=bindings_of([row]),
    )
    tokens = issued_tokens_of(settings, control=lambda: control, clock=lambda: NOW)
    return Identity(control=lambda: control, clock=lambda: NOW, access_tokens=tokens)


def header(address: str) -> str:
    claims = {
        "iss": address,
        "aud": ["callbroker-worker", "something-else"],
        "sub": "shop",
        "iat": int(NOW),
        "exp": int(NOW) + 300,
    }
    token = signed({"alg": "ES256", "typ": "at+jwt", "kid": "ec"}, json.dumps(claims), KEY)
    return f"Bearer {token}"


async def test_an_issuer_is_found_by_its_metadata_and_its_keys_count():
    with issuer() as address:
        found = await identity(address).recognise(header(address), {CredentialClass.WORKER})
    assert (found.subject, found.tools) == ("workers/shop", ("refund",))


@pytest.mark.parametrize("given", [{"padding": ANSWER_BYTES_MAX}, {"location": "/keys"}], ids=str)
async def test_an_answer_without_end_or_that_leads_elsewhere_is_none(given):
    with issuer(**given) as address, pytest.raises(IssuerUnavailable):
        await identity(address).recognise(header(address), {CredentialClass.WORKER})


async def test_a_person_by_a_token_is_told_by_issuer_and_subject():
    person = Person(issuer="https://i.example", subject="ann")
    assert str(person) == "https://i.example#ann"
