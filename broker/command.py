"""The `callbroker` command: it runs, or it names what to install.

The base install is the SDK. The command needs the server's packages, so without them it says how to
get them rather than which import failed.
"""

from __future__ import annotations

import importlib
import sys

EXIT_CODE_NOT_INSTALLED = 2


def main() -> int:
    """Runs the command line; returns its exit code, or 2 where the server's packages are absent."""
    try:
        commands = importlib.import_module("broker.cli.main")
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0] in {"broker", "sandboxes"}:
            raise  # a defect of ours, not something that an extra would bring
        sys.stderr.write(
            f'callbroker needs {missing.name}, which comes with: pip install "callbroker[server]"\n'
        )
        return EXIT_CODE_NOT_INSTALLED
    result = commands.main()
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
