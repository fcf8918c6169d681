"""`policies/schemas/manifest.json` is written from the code and never by hand.

`python -m broker.tools.schema_file > policies/schemas/manifest.json`
"""

import json
import sys

from broker.core.manifest_schema import manifest_schema


def schema_file() -> str:
    """The text of the file."""
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_file())
