"""Python's compiled files are made by the image's own Python, before anything is asked of it.

They are made from the sources in the image, in a container of that image that is shut in, and say
that they need no comparison with their source (PEP 552): nothing in an image can change, and times
would make two builds differ.
"""

import io
import tarfile
from collections.abc import Sequence
from typing import Final

from sandboxes.images.layout import INTERPRETER
from sandboxes.images.store import ImageStore

# In order, with one seed for hashes: the same sources give the same bytes.
_COMPILES: Final = """
import importlib.util, io, os, sys, tarfile
from importlib._bootstrap_external import _code_to_hash_pyc
out = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT)
for place in sys.argv[1:]:
    for directory, below, names in os.walk(place):
        below.sort()
        for name in sorted(names):
            path = os.path.join(directory, name)
            if not name.endswith(".py") or os.path.islink(path):
                continue
            with open(path, "rb") as file:
                source = file.read()
            try:
                code = compile(source, path, "exec", dont_inherit=True, optimize=0)
            except (SyntaxError, ValueError):
                continue
            made = bytes(_code_to_hash_pyc(code, importlib.util.source_hash(source), False))
            entry = tarfile.TarInfo(importlib.util.cache_from_source(path).lstrip("/"))
            entry.size = len(made)
            out.addfile(entry, io.BytesIO(made))
out.close()
"""


def compiled(store: ImageStore, digest: str, places: Sequence[str]) -> dict[str, bytes]:
    """Compiled files for every source below some places of an image.

    Args:
        store: has the image.
        digest: of the image.
        places: absolute directories in it.

    Returns:
        Absolute path → content.

    Raises:
        EngineRefused: the image's Python does not start.
    """
    command = (INTERPRETER, "-s", "-S", "-B", "-W", "ignore", "-c", _COMPILES, *places)
    output = store.output_of(digest, command, ("PYTHONHASHSEED=0", "LANG=C.UTF-8"))
    made = {}
    with tarfile.open(fileobj=io.BytesIO(output)) as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            if content is not None:
                made["/" + entry.name] = content.read()
    return made
