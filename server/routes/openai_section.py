"""What the OpenAPI document says of OpenAI's paths."""

from typing import Any, Literal

from typing_extensions import TypedDict

from server.openapi import (
    ASKING,
    LOOKING,
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
from server.protocols.openai import Embeddings, EmbeddingsBody
from server.routes.models import ModelInfo

EXAMPLES: dict[str, Any] = {
    "two texts": {"input": ["How do I return it?", "Where is my parcel?"]},
    "base64": {"input": "How do I return it?", "encoding_format": "base64"},
}


class ListedModel(ModelInfo):
    """One model as OpenAI's clients read it, and more."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(TypedDict):
    """OpenAI's shape of a list."""

    object: Literal["list"]
    data: list[ListedModel]


class ErrorDetails(TypedDict):
    """What OpenAI's clients raise."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAiError(TypedDict):
    """OpenAI's shape of errors."""

    error: ErrorDetails
    request_id: str


def openai_section() -> Section:
    """The paths of ``openai_routes``."""
    asking, looking = errors(ASKING, "OpenAiError"), errors(LOOKING, "OpenAiError")
    return Section(
        tag="openai",
        about="OpenAI's shapes: its clients work with base_url http://host/v1.",
        paths={
            "/v1/embeddings": {
                "post": operation(
                    "Embed texts",
                    {"200": json_answer(refer("Embeddings"), "One embedding per text"), **asking},
                    parameters=[TIMEOUT, REQUEST_ID],
                    body=json_body(refer("EmbeddingsBody"), EXAMPLES),
                )
            },
            "/v1/models": {
                "get": operation(
                    "All models",
                    {"200": json_answer(refer("ModelList"), "Those that answer"), **looking},
                    parameters=[REQUEST_ID],
                )
            },
            "/v1/models/{name}": {
                "get": operation(
                    "One model",
                    {"200": json_answer(refer("ListedModel"), "The model"), **looking},
                    parameters=[MODEL_NAME, REQUEST_ID],
                )
            },
        },
        schemas=schemas_of(
            {
                "EmbeddingsBody": EmbeddingsBody,
                "Embeddings": Embeddings,
                "ListedModel": ListedModel,
                "ModelList": ModelList,
                "OpenAiError": OpenAiError,
            }
        ),
    )
