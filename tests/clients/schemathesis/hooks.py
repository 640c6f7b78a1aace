"""Teaches schemathesis lines of JSON; loaded by its command, see test_schemathesis.py."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.deserializer("application/x-ndjson")
def text(_: Any, response: Any) -> str:
    return bytes(response.content).decode()
