"""Where things lie in an image, said once: whoever builds, checks or starts one reads it here."""

from importlib.resources import files
from typing import Final

LABEL: Final = "callbroker.sandbox"
BASE_LABEL: Final = "callbroker.sandbox.base"
PYTHON_LABEL: Final = "callbroker.sandbox.python"
TOOL_LABEL: Final = "callbroker.sandbox.tool"

INTERPRETER: Final = "/usr/bin/python3"
ENTRY_PATH: Final = "/callbroker/entry.py"
TOOL_DIRECTORY: Final = "/callbroker/tool"
TOOL_PATH: Final = "/callbroker/tool/tool.py"
PACKAGES_DIRECTORY: Final = "/callbroker/packages"
WORK_DIRECTORY: Final = "/tmp"  # noqa: S108 - the container's own, in memory
UID: Final = 65534

# -I: nothing from the environment or the work directory; -S: no site directories, and so no `.pth`
# files that run code; -B: nothing is written beside the source.
ENTRYPOINT: Final = (INTERPRETER, "-I", "-S", "-B", ENTRY_PATH)
ENVIRONMENT: Final = ("PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp")

NAMES_PREFIX: Final = "callbroker"
_ENTRY_PACKAGE: Final = "sandboxes.entry"


def entry_files() -> dict[str, bytes]:
    """The program that answers for a tool: path in the image → content."""
    found = {
        f"/callbroker/sandboxes/entry/{item.name}": item.read_bytes()
        for item in files(_ENTRY_PACKAGE).iterdir()
        if item.name.endswith(".py") and item.name != "entry.py"
    }
    found["/callbroker/sandboxes/__init__.py"] = b""
    found[ENTRY_PATH] = (files(_ENTRY_PACKAGE) / "entry.py").read_bytes()
    return dict(sorted(found.items()))


def base_name(base: str) -> str:
    """What a base image is called on an engine, for people and for the next build."""
    return f"{NAMES_PREFIX}-base-{base}"


def tool_name(tool: str) -> str:
    """What a tool's image is called on an engine, for people alone."""
    return f"{NAMES_PREFIX}-tool-{tool.replace('.', '-').lower()}"
