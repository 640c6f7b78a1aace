"""From the bytes of a body to a validated schema, or to a sentence that names the field."""

from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from contracts.errors import InvalidRequest
from server.errors import explain

Schema = TypeVar("Schema", bound=BaseModel)


def parse_body(schema: type[Schema], raw: bytes) -> Schema:
    """Validate a body in one pass over its bytes.

    Raises:
        InvalidRequest: with sentences that name the fields.
    """
    try:
        return schema.model_validate_json(raw)
    except ValidationError as error:
        try:
            loaded = orjson.loads(raw)
        except orjson.JSONDecodeError as broken:
            raise InvalidRequest(f"The body is not JSON: {broken}.") from None
        raise explain(schema, loaded, error) from None
