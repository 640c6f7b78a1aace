"""What the OpenAPI document says of the Open Inference Protocol's paths."""

from typing import Any

from server.openapi import (
    MODEL_NAME,
    REQUEST_ID,
    TIMEOUT,
    Section,
    errors,
    json_answer,
    json_body,
    operation,
    refer,
    schemas_of,
)
from server.protocols.open_inference import InferRequest

ASKING = (400, 401, 403, 404, 413, 429, 500, 503, 504)
LOOKING = (400, 401, 403, 404, 413, 429, 503)
EXAMPLES: dict[str, Any] = {
    "two texts": {
        "inputs": [
            {
                "name": "text",
                "datatype": "BYTES",
                "shape": [2],
                "data": ["Where is my parcel?", "Thank you!"],
            }
        ],
        "parameters": {"top_k": 2},
    },
    "one question": {
        "inputs": [
            {"name": "question", "datatype": "BYTES", "shape": [1], "data": ["How long?"]},
            {"name": "context", "datatype": "BYTES", "shape": [1], "data": ["It takes 30 days."]},
        ]
    },
}
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": ["BYTES", "FP32"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    },
}
_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "A version or an alias.",
    "schema": {"type": "string", "minLength": 1},
}
_BINARY = (
    "The JSON may be followed by raw tensors: Inference-Header-Content-Length then says where it"
    " ends, each input's parameters.binary_data_size how many bytes are its own, and a string is a"
    " little-endian uint32 length and so many bytes."
)


def open_inference_section() -> Section:
    """The paths of ``open_inference_routes``."""
    something = {"type": "object"}
    optional = {"required": False}

    def look(summary: str, schema: dict[str, Any] = something) -> dict[str, Any]:
        return _operation(summary, schema, LOOKING)

    infer = _operation("Infer", refer("InferResponse"), ASKING) | {
        "description": _BINARY,
        "requestBody": json_body(refer("InferRequest"), EXAMPLES),
    }
    infer["responses"]["200"]["content"]["application/octet-stream"] = {
        "schema": {"type": "string", "format": "binary"}
    }
    paths = {
        "/v2": {"get": look("What this server is")},
        "/v2/health/live": {"get": _probe("The process is up")},
        "/v2/health/ready": {"get": _probe("The models are loaded and warmed")},
        "/v2/models/stats": {"get": look("Counters of every model")},
        "/v2/repository/index": {
            "post": look(
                "Every model and its state", {"type": "array", "items": {"type": "object"}}
            )
            | {"requestBody": json_body(something, {"only ready": {"ready": True}}) | optional}
        },
    }
    for end in ("load", "unload"):
        path = f"/v2/repository/models/{{name}}/{end}"
        one = look(f"{end.capitalize()} a model; with the administrator's key")
        paths[path] = {"post": one | {"parameters": [MODEL_NAME]}}
    for version in ("", "/versions/{version}"):
        where = {"parameters": [MODEL_NAME, *([_VERSION] if version else [])]}
        model = f"/v2/models/{{name}}{version}"
        paths |= {
            model: {"get": look("Inputs and outputs of a model") | where},
            f"{model}/ready": {"get": look("Whether a model answers") | where},
            f"{model}/config": {"get": look("A model's configuration, as Triton's") | where},
            f"{model}/stats": {"get": look("Counters of a model, as Triton's") | where},
            f"{model}/infer": {
                "post": infer | {"parameters": [*where["parameters"], TIMEOUT, REQUEST_ID]}
            },
        }
    return Section(
        tag="open inference protocol",
        about="Version 2 over HTTP, as Triton's clients speak it: tensors of strings.",
        paths=paths,
        schemas=schemas_of({"InferRequest": InferRequest})
        | {
            "InferResponse": {
                "type": "object",
                "required": ["model_name", "model_version", "outputs"],
                "properties": {
                    "model_name": {"type": "string"},
                    "model_version": {"type": "string"},
                    "id": {"type": "string"},
                    "outputs": {"type": "array", "items": _TENSOR},
                },
            },
            "OpenInferenceError": {
                "type": "object",
                "required": ["error"],
                "properties": {"error": {"type": "string"}},
            },
        },
    )


def _operation(summary: str, schema: dict[str, Any], statuses: tuple[int, ...]) -> dict[str, Any]:
    responses = {"200": json_answer(schema, summary), **errors(statuses, "OpenInferenceError")}
    return operation(summary, responses)


def _probe(summary: str) -> dict[str, Any]:
    answer = {"type": "object", "additionalProperties": {"type": "boolean"}}
    responses = {status: json_answer(answer, summary) for status in ("200", "503")}
    return operation(summary, responses) | {"security": []}
