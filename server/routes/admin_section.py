"""What the OpenAPI document says of the administrator's paths."""

from typing import Any

from typing_extensions import TypedDict

from server.openapi import (
    MODEL_NAME,
    REQUEST_ID,
    Section,
    errors,
    json_answer,
    json_body,
    operation,
    refer,
    schemas_of,
)
from server.routes.admin import AliasBody, RollbackBody
from server.routes.models import ModelInfo

STATUSES = (401, 403, 404, 413, 422, 503)


class ServedModels(TypedDict):
    """The versions of the model that are served now."""

    models: list[ModelInfo]


def admin_section() -> Section:
    """The paths of ``admin_routes``."""

    def post(summary: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        responses = {
            "200": json_answer(refer("ServedModels"), "What is served of the model now"),
            **errors(STATUSES),
        }
        parameters = [MODEL_NAME, REQUEST_ID]
        return {"post": operation(summary, responses, parameters=parameters, body=body)}

    moved = {"alias": "production", "version": 3}
    root = "/admin/models/{name}"
    return Section(
        tag="admin",
        about="What is served is changed while it is served; with the administrator's key only.",
        paths={
            f"{root}/load": post("Serve what the store names, or one version more"),
            f"{root}/unload": post("Stop serving a model or a version"),
            f"{root}/alias": post(
                "Point an alias to a version", json_body(refer("AliasBody"), {"a version": moved})
            ),
            f"{root}/rollback": post(
                "Point an alias back",
                json_body(refer("RollbackBody"), {"production": {"alias": "production"}})
                | {"required": False},
            ),
        },
        schemas=schemas_of(
            {
                "AliasBody": AliasBody,
                "RollbackBody": RollbackBody,
                "ServedModels": ServedModels,
            }
        ),
    )
