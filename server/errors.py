"""Errors on the wire: one JSON shape, and sentences out of pydantic's findings."""

import difflib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import orjson
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from contracts.errors import BackendFailure, InvalidRequest, ServingError

_SHOWN = 3


def error_response(error: ServingError, request_id: str) -> Response:
    """The error's ``error_body`` with its status and headers.

    Args:
        error: what happened.
        request_id: goes into body and headers.
    """
    return Response(
        orjson.dumps(error_body(error, request_id)),
        status_code=error.status,
        headers={**error.headers, "x-request-id": request_id},
        media_type="application/json",
    )


def error_body(error: ServingError, request_id: str) -> dict[str, str]:
    """``{"error", "error_type", "request_id"}``; see ``error_response``."""
    sentence = f"{error.place}: {error}" if error.place else str(error)
    if isinstance(error, BackendFailure):
        sentence = f"The model failed on this request; the log has the reason under {request_id}."
    return {"error": sentence, "error_type": error.code, "request_id": request_id}


async def unrouted(request: Request, error: Exception) -> Response:
    """The answer where no route is: starlette's 404 and 405, in the shape of all errors."""
    assert isinstance(error, HTTPException)
    request_id = request_id_of(request)
    path = request.url.path
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        sentence, code = f"{path} takes {allowed}, not {request.method}.", "method_not_allowed"
    else:
        sentence, code = f"There is no path {path}; /docs has those that are.", "unknown_path"
    return Response(
        orjson.dumps({"error": sentence, "error_type": code, "request_id": request_id}),
        status_code=error.status_code,
        headers={**(error.headers or {}), "x-request-id": request_id},
        media_type="application/json",
    )


def request_id_of(request: Request) -> str:
    """The caller's ``x-request-id`` when it is printable and short, else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if 0 < len(given) <= 128 and given.isprintable() else secrets.token_hex(8)


def explain(schema: type[BaseModel], body: Any, error: ValidationError) -> InvalidRequest:
    """Turn a validation error into sentences that name the field and the way out."""
    findings: dict[str, str] = {}
    for finding in error.errors(include_url=False, include_context=False):
        place, field = _place(finding["loc"], body)
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            message = _unknown_key(schema, field, finding["loc"])
        elif finding["type"] == "json_invalid":
            return InvalidRequest(f"The body is not JSON: {message}.")
        findings.setdefault(place, message)
    deepest = _most_specific(findings)
    shown = [f"{place or 'body'}: {message}" for place, message in deepest[:_SHOWN]]
    if len(deepest) > _SHOWN:
        shown.append(f"and {len(deepest) - _SHOWN} more")
    sentence = "; ".join(shown)
    return InvalidRequest(sentence if sentence.endswith("?") else f"{sentence}.")


def _place(location: Sequence[int | str], body: Any) -> tuple[str, str]:
    """The path of a finding without the names of union branches, and its last key."""
    path, last, here = "", "", body
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
            here = here[part] if isinstance(here, list) and part < len(here) else None
        elif isinstance(here, dict) and part in here:
            path += f".{part}" if path else part
            last, here = part, here[part]
        elif part.isidentifier() and part == location[-1] and part not in _BRANCHES:
            path += f".{part}" if path else part
            last = part
    return path, last


_BRANCHES = frozenset(
    {"str", "int", "float", "bool", "dict", "list", "TextPair", "Question", "none"}
)


def _most_specific(findings: dict[str, str]) -> list[tuple[str, str]]:
    """Drop what was found at a place that has findings below it (other branches of a union)."""
    return [
        (place, message)
        for place, message in findings.items()
        if not any(other != place and other.startswith(place) for other in findings if place)
    ]


def _unknown_key(schema: type[BaseModel], key: str, location: Sequence[int | str]) -> str:
    known = sorted(_fields_at(schema, location))
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f'did you mean "{close[0]}"?' if close else f"known are {', '.join(known)}"
    return f"unknown parameter; {hint}"


def _fields_at(schema: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    """The keys that are known at the place of an unknown one, over all branches of a union."""
    here = {schema.__name__: schema}
    for part in location[:-1]:
        if part in here:  # a branch of a union, by its name
            here = {str(part): here[str(part)]}
            continue
        fields = [
            model.model_fields[str(part)] for model in here.values() if part in model.model_fields
        ]
        if fields:
            here = {each.__name__: each for field in fields for each in _models(field.annotation)}
    return {name for model in here.values() for name in model.model_fields}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The schemas that stand anywhere in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
