"""The OpenAPI document of the inference paths: one schema and one example per task."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from contracts.schemas import BODIES, Answer, Entity, LabelScore, Summary
from contracts.tasks import Task

_EXAMPLES: dict[Task, Any] = {
    Task.TEXT_CLASSIFICATION: {
        "inputs": "Where is my parcel? It should have come on Monday.",
        "parameters": {"top_k": 3},
    },
    Task.TOKEN_CLASSIFICATION: {
        "inputs": "Anna Keller from Basel ordered a ThinkPad on 3 May.",
        "parameters": {"aggregation_strategy": "simple"},
    },
    Task.QUESTION_ANSWERING: {
        "inputs": {
            "question": "How long can I return it?",
            "context": "Every order can be returned within 30 days of delivery.",
        }
    },
    Task.SUMMARIZATION: {
        "inputs": "The council met on Tuesday. It approved the new bridge. Tea was served.",
        "parameters": {"max_sentences": 1},
    },
}
_ANSWERS: dict[Task, Any] = {
    Task.TEXT_CLASSIFICATION: list[list[LabelScore]],
    Task.TOKEN_CLASSIFICATION: list[Entity] | list[list[Entity]],
    Task.QUESTION_ANSWERING: Answer | list[Answer],
    Task.SUMMARIZATION: list[Summary],
}
_ERROR = {
    "type": "object",
    "required": ["error", "error_type", "request_id"],
    "properties": {
        "error": {"type": "string", "description": "One sentence that says what to do."},
        "error_type": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
_STATUSES = {
    401: "No API key, or a wrong one",
    404: "No such model or version; the sentence names what exists",
    413: "The text is longer than the model, or the request than the server accepts",
    422: "The body or a parameter is wrong; the sentence names the field",
    429: "Too much is waiting; see Retry-After",
    500: "The model failed on this request",
    503: "Loading, restarting or draining; see Retry-After",
    504: "Not ready within the request's time",
}
_REF = "#/components/schemas/{model}"


def describe(app: FastAPI) -> None:
    """Make ``app.openapi`` tell the inference paths too, which are plain ASGI routes."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            _add_inference(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_inference(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    _, bodies = models_json_schema(
        [(body, "validation") for body in BODIES.values()], ref_template=_REF
    )
    schemas.update(bodies["$defs"], ServingError=_ERROR)
    for task, answer in _ANSWERS.items():
        schema = TypeAdapter(answer).json_schema(ref_template=_REF)
        schemas.update(schema.pop("$defs", {}))
        schemas[_answer_name(task)] = schema
    operation = _operation()
    name = {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "A model, or name@version, or name@alias.",
        "schema": {"type": "string"},
    }
    document["paths"]["/models/{name}"] = {
        "post": operation | {"parameters": [name, *operation["parameters"]]}
    }
    for path in ("/", "/invocations"):
        summary = "Ask the default model"
        document["paths"][path] = {"post": operation | {"summary": summary}}


def _operation() -> dict[str, Any]:
    def refs(names: list[str]) -> dict[str, Any]:
        return {"anyOf": [{"$ref": _REF.format(model=name)} for name in names]}

    error = {"application/json": {"schema": {"$ref": _REF.format(model="ServingError")}}}
    answers = {"application/json": {"schema": refs([_answer_name(task) for task in BODIES])}}
    return {
        "tags": ["inference"],
        "summary": "Ask a model",
        "parameters": [
            {
                "name": "X-Request-Timeout-Ms",
                "in": "header",
                "description": "The answer must be there in so many milliseconds.",
                "schema": {"type": "integer", "minimum": 1, "maximum": 3_600_000},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": refs([body.__name__ for body in BODIES.values()]),
                    "examples": {
                        task.value: {"summary": task.value, "value": example}
                        for task, example in _EXAMPLES.items()
                    },
                }
            },
        },
        "responses": {
            "200": {
                "description": "The answer, in the shape of the model's task",
                "content": answers,
            },
            **{
                str(status): {"description": text, "content": error}
                for status, text in _STATUSES.items()
            },
        },
    }


def _answer_name(task: Task) -> str:
    return task.value.title().replace("-", "") + "Answer"
