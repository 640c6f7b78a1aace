"""The OpenAPI document: each family of routes gives a ``Section``, ``describe`` binds them.

Routes are plain ASGI applications, so FastAPI cannot read their shapes off them; a family writes
them down with the functions here, from the same types that validate and answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

REF = "#/components/schemas/{model}"
STATUSES = {
    400: "The body or a parameter is wrong; the sentence names the field",
    401: "No API key, or a wrong one",
    403: "The API key may not use this model",
    404: "No such model or version; the sentence names what exists",
    413: "The text is longer than the model, or the request than the server accepts",
    422: "The body or a parameter is wrong; the sentence names the field",
    429: "Too much is waiting, or the key's quota is used up; see Retry-After",
    500: "The model failed on this request",
    503: "Loading, restarting or draining; see Retry-After",
    504: "Not ready within the request's time",
}
"""What each status of an error means; ``errors`` takes some of them."""

ASKING = (401, 403, 404, 413, 422, 429, 500, 503, 504)
"""What can go wrong where a model is asked."""

LOOKING = (401, 403, 404, 429, 503)
"""What can go wrong where a model is only looked at."""

REQUEST_ID: dict[str, Any] = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "Comes back in the answer, stands in the log and in every error.",
    "schema": {"type": "string", "maxLength": 128},
}
TIMEOUT: dict[str, Any] = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "description": "The answer must be there in so many milliseconds.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 3_600_000},
}
MODEL_NAME: dict[str, Any] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "A model, or name@version, or name@alias.",
    "schema": {"type": "string", "minLength": 1},
}

_ERROR = {
    "type": "object",
    "required": ["error", "error_type", "request_id"],
    "properties": {
        "error": {"type": "string", "description": "One sentence that says what to do."},
        "error_type": {"type": "string"},
        "request_id": {"type": "string"},
    },
    "example": {
        "error": 'parameters.topk: unknown parameter; did you mean "top_k"?',
        "error_type": "invalid_request",
        "request_id": "5f0c1a9be2d34c77",
    },
}
_OPEN = {"/livez", "/readyz", "/health", "/ping", "/metrics"}


@dataclass(frozen=True, slots=True)
class Section:
    """What one family of routes adds to the document."""

    tag: str
    about: str
    """A sentence or two under the tag."""
    paths: Mapping[str, Mapping[str, Any]]
    """From a path to its operations by method, in lower case; see ``operation``."""
    schemas: Mapping[str, Any] = field(default_factory=dict)
    """Components by name; see ``schemas_of``."""


def schemas_of(types: Mapping[str, Any]) -> dict[str, Any]:
    """The components of named types (models, dictionaries, unions), and what they refer to."""
    components: dict[str, Any] = {}
    for name, kind in types.items():
        schema = TypeAdapter(kind).json_schema(ref_template=REF)
        components.update(schema.pop("$defs", {}))
        components[name] = schema
    return components


def refer(*names: str) -> dict[str, Any]:
    """A schema that is one of the named components."""
    references = [{"$ref": REF.format(model=name)} for name in names]
    return references[0] if len(references) == 1 else {"anyOf": references}


def json_body(schema: Mapping[str, Any], examples: Mapping[str, Any]) -> dict[str, Any]:
    """A request body.

    Args:
        schema: of the JSON; see ``refer``.
        examples: bodies by what they show; a test posts each to a server.
    """
    shown = {name: {"summary": name, "value": value} for name, value in examples.items()}
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "examples": shown}},
    }


def json_answer(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    """A response in JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def errors(statuses: Sequence[int], schema: str = "ServingError") -> dict[str, Any]:
    """Responses of what can go wrong.

    Args:
        statuses: of ``STATUSES``; see ``ASKING`` and ``LOOKING``.
        schema: the component of the family's error shape.
    """
    return {str(status): json_answer(refer(schema), STATUSES[status]) for status in statuses}


def operation(
    summary: str,
    responses: Mapping[str, Any],
    *,
    parameters: Sequence[Mapping[str, Any]] = (),
    body: Mapping[str, Any] | None = None,
    description: str = "",
) -> dict[str, Any]:
    """One method of one path; its tag is the section's.

    Args:
        summary: a few words.
        responses: by status; see ``json_answer`` and ``errors``.
        parameters: of path and headers, such as ``MODEL_NAME`` and ``TIMEOUT``.
        body: see ``json_body``.
        description: more than the summary, in Markdown.
    """
    one: dict[str, Any] = {"summary": summary, "responses": dict(responses)}
    if description:
        one["description"] = description
    if parameters:
        one["parameters"] = list(parameters)
    if body is not None:
        one["requestBody"] = dict(body)
    return one


def describe(app: FastAPI, sections: Sequence[Section], *, keys: bool) -> None:
    """Make ``app.openapi`` give the document of these sections.

    Args:
        app: titled; its routes are not looked at.
        sections: in the order of the page.
        keys: whether the server asks for an API key.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, sections, keys)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI, sections: Sequence[Section], keys: bool) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    components: dict[str, Any] = {"ServingError": _ERROR}
    for section in sections:
        components.update(section.schemas)
        for path, operations in section.paths.items():
            for method, one in operations.items():
                told = {"tags": [section.tag], "operationId": _identity(method, path), **one}
                if keys and path in _OPEN:
                    told["security"] = []
                paths.setdefault(path, {})[method] = told
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": app.title, "version": app.version, "description": app.description},
        "tags": [{"name": one.tag, "description": one.about} for one in sections],
        "paths": paths,
        "components": {"schemas": components},
    }
    if keys:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
    return document


def _identity(method: str, path: str) -> str:
    """A name for clients that are generated: ``post_models_name_bulk``."""
    words = "".join(letter if letter.isalnum() else " " for letter in path).split()
    return "_".join([method, *words])
