"""The product's validator in the shape that the JSON Schema suite's runner calls."""

from collections.abc import Mapping

from broker.core.arguments import JsonValue
from broker.core.schemas import Validator


def check(schema: JsonValue, instance: JsonValue, remotes: Mapping[str, JsonValue]) -> bool:
    """Whether `instance` is valid; `format` is an annotation, as the draft has it by default.

    Args:
        schema: draft 2020-12.
        instance: any JSON value.
        remotes: documents that references may lead to. None is ever used: nothing is fetched.

    Raises:
        SchemaRefused: the schema leads to another document, or is no schema.
    """
    del remotes
    return Validator(schema, formats=False).is_valid(instance)
