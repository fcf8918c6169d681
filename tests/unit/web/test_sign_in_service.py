"""The part that signs people in elsewhere is there where it is set, and costs nothing where not."""

import subprocess
import sys


def test_a_broker_without_a_sign_in_service_loads_nothing_of_one():
    loaded = (
        "import sys, broker.app, broker.web.opening\n"
        "print([m for m in sys.modules if m.startswith(('authlib', 'broker.web.oidc'))])"
    )
    said = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=120
    )
    assert said.stdout.strip() == "[]"
