"""One key opens; nothing else does; without a key all may ask."""

import pytest
from starlette.requests import Request

from contracts.errors import Unauthorized
from server.auth import ApiKey


def request(**headers: str) -> Request:
    pairs = [
        (key.replace("_", "-").encode(), value.encode("latin-1")) for key, value in headers.items()
    ]
    return Request({"type": "http", "headers": pairs})


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer opensesame"},
        {"authorization": "bearer opensesame"},
        {"x_api_key": "opensesame"},
    ],
)
def test_the_key_opens(headers: dict[str, str]):
    ApiKey("opensesame").check(request(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer open"},
        {"authorization": "Bearer opensesame2"},
        {"authorization": "Basic opensesame"},
        {"authorization": "opensesame"},
        {"x_api_key": "OPENSESAME"},
        {"x_api_key": "öpen"},
    ],
)
def test_anything_else_is_refused(headers: dict[str, str]):
    with pytest.raises(Unauthorized):
        ApiKey("opensesame").check(request(**headers))


def test_without_a_key_a_stray_token_is_ignored():
    ApiKey(None).check(request(authorization="Bearer hf_cached"))
    ApiKey(None).check(request())
