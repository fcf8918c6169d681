"""The schemas that editors read are written from the code and never by hand.

`python -m broker.tools.schema_file > policies/schemas/manifest.json`
`python -m broker.tools.schema_file directory > policies/schemas/directory.json`
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Final

from broker.core.directory_schema import directory_schema
from broker.core.manifest_schema import manifest_schema
from broker.core.manifest_words import Schema

_SCHEMAS: Final[Mapping[str, Callable[[], Schema]]] = {
    "manifest": manifest_schema,
    "directory": directory_schema,
}


def schema_file(name: str = "manifest") -> str:
    """The text of the file of this name."""
    return json.dumps(_SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_file(*sys.argv[1:]))
