"""The OpenAPI document of the inference paths: one schema per body, one example per task."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from contracts.bodies import BODIES
from contracts.fill_mask import Proposal
from contracts.generation import Generated, GenerationBody, StreamEvent
from contracts.schemas import Answer, Body, Entity, LabelScore, Summary
from contracts.zero_shot import LabelColumns

_EXAMPLES: dict[str, Any] = {
    "text-classification": {
        "inputs": "Where is my parcel? It should have come on Monday.",
        "parameters": {"top_k": 3},
    },
    "token-classification": {
        "inputs": "Anna Keller from Basel ordered a ThinkPad on 3 May.",
        "parameters": {"aggregation_strategy": "simple"},
    },
    "question-answering": {
        "inputs": {
            "question": "How long can I return it?",
            "context": "Every order can be returned within 30 days of delivery.",
        }
    },
    "summarization (extractive)": {
        "inputs": "The council met on Tuesday. It approved the new bridge. Tea was served.",
        "parameters": {"max_sentences": 1},
    },
    "summarization (generated)": {
        "inputs": "The council met on Tuesday. It approved the new bridge. Tea was served.",
        "parameters": {"max_new_tokens": 20, "num_beams": 2},
    },
    "translation": {
        "inputs": "The bridge will be open in spring.",
        "parameters": {"max_new_tokens": 20},
    },
    "text2text-generation": {
        "inputs": "The council met on Tuesday.",
        "parameters": {"max_new_tokens": 20, "temperature": 0.7, "seed": 1},
        "stream": True,
    },
    "feature-extraction": {"inputs": ["How do I return it?", "Where is my parcel?"]},
    "sentence-similarity": {
        "inputs": {
            "source_sentence": "How do I return it?",
            "sentences": ["Can I send this back?", "The bridge is open."],
        }
    },
    "zero-shot-classification": {
        "inputs": "The parcel is two weeks late.",
        "parameters": {"candidate_labels": ["delivery", "payment", "praise"]},
    },
    "fill-mask": {"inputs": "The parcel waits in the [MASK].", "parameters": {"top_k": 2}},
}
_BODIES: tuple[type[Body], ...] = (*BODIES.values(), GenerationBody)
_ANSWERS: dict[str, Any] = {
    "TextClassificationAnswer": list[list[LabelScore]],
    "TokenClassificationAnswer": list[Entity] | list[list[Entity]],
    "QuestionAnsweringAnswer": Answer | list[Answer],
    "SummarizationAnswer": list[Summary],
    "GenerationAnswer": list[Generated],
    "FeatureExtractionAnswer": list[list[float]] | list[str],
    "SentenceSimilarityAnswer": list[float] | list[list[float]],
    "ZeroShotClassificationAnswer": list[LabelScore]
    | list[list[LabelScore]]
    | LabelColumns
    | list[LabelColumns],
    "FillMaskAnswer": list[Proposal] | list[list[Proposal]] | list[list[list[Proposal]]],
    "StreamEvent": StreamEvent,
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
_EVENTS = (
    "Server-sent events of models that generate, asked for by the Accept header or by stream = true"
    " in the body: data is a StreamEvent per token; the last is named done and has the whole"
    " answer, or is named error and has a ServingError."
)
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
    _, bodies = models_json_schema([(body, "validation") for body in _BODIES], ref_template=_REF)
    schemas.update(bodies["$defs"], ServingError=_ERROR)
    for name, answer in _ANSWERS.items():
        schema = TypeAdapter(answer).json_schema(ref_template=_REF)
        schemas.update(schema.pop("$defs", {}))
        schemas[name] = schema
    operation = _operation()
    model = {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "A model, or name@version, or name@alias.",
        "schema": {"type": "string"},
    }
    document["paths"]["/models/{name}"] = {
        "post": operation | {"parameters": [model, *operation["parameters"]]}
    }
    for path in ("/", "/invocations"):
        summary = "Ask the default model"
        document["paths"][path] = {"post": operation | {"summary": summary}}


def _operation() -> dict[str, Any]:
    def refs(names: list[str]) -> dict[str, Any]:
        return {"anyOf": [{"$ref": _REF.format(model=name)} for name in names]}

    error = {"application/json": {"schema": {"$ref": _REF.format(model="ServingError")}}}
    answers = {
        "application/json": {"schema": refs([name for name in _ANSWERS if name != "StreamEvent"])},
        "text/event-stream": {"schema": {"type": "string", "description": _EVENTS}},
    }
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
                    "schema": refs([body.__name__ for body in _BODIES]),
                    "examples": {
                        task: {"summary": task, "value": example}
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
