"""From the bytes of a body to a validated schema, or to a sentence that names the field."""

from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from contracts.bodies import body_for
from contracts.errors import InvalidRequest
from contracts.schemas import Body
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


def parse_any(bodies: Sequence[type[Body]], raw: bytes) -> Body:
    """Validate a body; where a model has one schema, in one pass over its bytes.

    Raises:
        InvalidRequest: with sentences that name the fields.
    """
    if len(bodies) == 1:
        try:
            return bodies[0].model_validate_json(raw)
        except ValidationError:
            pass  # the way below finds the fault, or an older client's shape
    content = parse_json(raw)
    schema, content = schema_of(content, bodies)
    return validate(schema, content)


def schema_of(content: Any, bodies: Sequence[type[Body]]) -> tuple[type[Body], Any]:
    """Which schema a body's JSON means, and the JSON as that schema has it."""
    schema = body_for(content, bodies)
    return schema, schema.gathered(content) if isinstance(content, dict) else content


def validate(schema: type[Body], content: Any) -> Body:
    """Validate JSON.

    Raises:
        InvalidRequest: with sentences that name the fields.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        if (
            isinstance(content, dict)
            and "stream" in content
            and "stream" not in schema.model_fields
        ):
            raise InvalidRequest(
                "stream: this model does not generate text, so there is nothing to stream; leave"
                " it out."
            ) from None
        raise explain(schema, content, error) from None


def parse_json(raw: bytes) -> Any:
    """The JSON of a body.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as broken:
        raise InvalidRequest(f"The body is not JSON: {broken}.") from None
