"""Who may change what is served: the administrator, where there is one."""

import pytest
from starlette.requests import Request

from contracts.errors import Forbidden, ServingError, Unauthorized
from server.routes.admin import check_admin


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw})


@pytest.mark.parametrize("headers", [{"x_api_key": "k"}, {"authorization": "Bearer k"}])
def test_the_key_opens_in_either_header(headers: dict[str, str]):
    check_admin("k", request(**headers))


@pytest.mark.parametrize(
    ("key", "headers", "error"),
    [
        (None, {"x_api_key": "k"}, Forbidden),
        (None, {}, Forbidden),
        ("", {}, Forbidden),
        ("", {"x_api_key": ""}, Forbidden),
        ("k", {}, Unauthorized),
        ("k", {"x_api_key": ""}, Unauthorized),
        ("k", {"x_api_key": "another"}, Unauthorized),
        ("k", {"authorization": "Basic k"}, Unauthorized),
        ("kk", {"x_api_key": "k"}, Unauthorized),
    ],
)
def test_nobody_else_comes_in(key: str | None, headers: dict[str, str], error: type[ServingError]):
    with pytest.raises(error):
        check_admin(key, request(**headers))
