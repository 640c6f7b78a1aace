"""Every error that has a name, in the shape of every family of routes."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import Response

from contracts.errors import (
    BackendFailure,
    DeadlineExceeded,
    Forbidden,
    InputTooLong,
    InvalidRequest,
    Overloaded,
    RequestTooLarge,
    ServingError,
    Unauthorized,
    Unavailable,
    UnknownModel,
)
from server.routes import open_inference, openai, text_embeddings

ERRORS: list[tuple[ServingError, int]] = [
    (InvalidRequest("input: it is empty."), 422),
    (InputTooLong(9, 8), 413),
    (RequestTooLarge("Too large."), 413),
    (UnknownModel("There is no model."), 404),
    (Unauthorized("No key."), 401),
    (Forbidden("Another model."), 403),
    (Overloaded("Too much.", 7), 429),
    (Unavailable("Loading.", 2), 503),
    (DeadlineExceeded("Too late."), 504),
    (BackendFailure(), 500),
]
TYPES = {
    422: ("Validation", "invalid_request_error"),
    413: ("Validation", "invalid_request_error"),
    404: ("Validation", "not_found_error"),
    401: ("Validation", "authentication_error"),
    403: ("Validation", "permission_error"),
    429: ("Overloaded", "rate_limit_error"),
    503: ("Unhealthy", "server_error"),
    504: ("Backend", "server_error"),
    500: ("Backend", "server_error"),
}


def answered(
    shape: Callable[[ServingError, str], Response], error: ServingError
) -> tuple[int, Any]:
    response = shape(error, "mine")
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["content-type"] == "application/json"
    retry = response.headers.get("retry-after")
    assert retry == {429: "7", 503: "2"}.get(error.status)
    assert ("www-authenticate" in response.headers) is (error.status == 401)
    return response.status_code, json.loads(bytes(response.body))


def sentence(error: ServingError) -> str:
    opaque = "The model failed on this request; the log has the reason under mine."
    return opaque if isinstance(error, BackendFailure) else str(error)


@pytest.mark.parametrize(("error", "status"), ERRORS)
def test_the_open_inference_protocol_has_a_sentence_and_400_for_a_bad_request(
    error: ServingError, status: int
):
    code, body = answered(open_inference.error_response, error)
    assert code == (400 if status == 422 else status)
    assert body == {"error": sentence(error)}


@pytest.mark.parametrize(("error", "status"), ERRORS)
def test_text_embeddings_inference_has_its_types(error: ServingError, status: int):
    code, body = answered(text_embeddings.error_response, error)
    assert code == status
    kind = TYPES[status][0]
    assert body == {"error": sentence(error), "error_type": kind, "request_id": "mine"}


@pytest.mark.parametrize(("error", "status"), ERRORS)
def test_openai_has_its_types_the_parameter_and_our_code(error: ServingError, status: int):
    code, body = answered(openai.error_response, error)
    assert code == status
    assert body["error"] == {
        "message": sentence(error),
        "type": TYPES[status][1],
        "param": "input" if status == 422 else None,
        "code": error.code,
    }
