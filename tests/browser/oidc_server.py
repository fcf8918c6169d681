"""The program of the tests' identity provider: OpenID Connect by django-oauth-toolkit, on loopback.

`python -m tests.browser.oidc_server DIRECTORY` prints its issuer and serves until it is killed.
What conforms is the toolkit's. Ours are the users, `groups` in their claims and the sign-in page
(`oidc_claims`), and `max_age`, which the toolkit leaves out (`oidc_views`).
"""

import os
import sys
from pathlib import Path

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

SCOPES = {"openid": "who you are", "profile": "your name", "email": "your address"}
LOGIN_PAGE = """<!doctype html><html lang="en"><title>Sign in</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<main><h1>Sign in</h1><form method="post">{% csrf_token %}{{ form.as_p }}
<input type="hidden" name="next" value="{{ next }}"><button>Sign in</button></form></main></html>"""
APPS = ("contenttypes", "auth", "sessions")


def configure(directory: Path) -> None:
    """Django's settings; its database is a file in `directory`."""
    settings.configure(
        ALLOWED_HOSTS=["localhost"],
        AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": directory / "oidc.db"}
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in APPS), "oauth2_provider"],
        LOGGING_CONFIG=None,
        LOGIN_URL="/login",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        # Tables are made from the models as they are: no history of them is needed here.
        MIGRATION_MODULES=dict.fromkeys((*APPS, "oauth2_provider")),
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True,
            "OIDC_RSA_PRIVATE_KEY": _rsa_key(),
            "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
            "OIDC_RP_INITIATED_LOGOUT_ALWAYS_PROMPT": False,
            "OAUTH2_VALIDATOR_CLASS": "tests.browser.oidc_claims.Claims",
            "SCOPES": SCOPES,
            "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        },
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF="tests.browser.oidc_views",
        SECRET_KEY="of one run of the tests",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "loaders": [
                        (
                            "django.template.loaders.locmem.Loader",
                            {"registration/login.html": LOGIN_PAGE},
                        ),
                        "django.template.loaders.app_directories.Loader",
                    ]
                },
            }
        ],
        USE_TZ=True,
    )
    django.setup()


def _rsa_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def serve() -> None:
    """Serve on any free port of loopback, in threads."""
    # Importable only once Django is set up.
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: PLC0415
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415

    class Silent(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            """A test has nothing to say to the console."""

    server = ThreadedWSGIServer(("127.0.0.1", 0), Silent)
    server.set_app(get_wsgi_application())
    sys.stdout.write(f"http://localhost:{server.server_port}/o\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback has no certificate
    configure(Path(sys.argv[1]))
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    serve()
