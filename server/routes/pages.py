"""/openapi.json, and /docs as a page whose every file comes from here: it works without a network.

The files of Swagger UI are those of the package ``fastapi-offline``, which is used for nothing
else.
"""

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

FILES = "/docs/files"


def page_routes(app: FastAPI) -> list[BaseRoute]:
    """The document and its page."""

    async def document(_: Request) -> Response:
        return JSONResponse(app.openapi())

    async def page(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        return get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=f"{app.title}: the HTTP interface",
            swagger_js_url=f"{root}{FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{FILES}/swagger-ui.css",
            swagger_favicon_url=f"{root}{FILES}/favicon.png",
            swagger_ui_parameters={"docExpansion": "list", "defaultModelsExpandDepth": 0},
        )

    return [
        Route("/openapi.json", document),
        Route("/docs", page),
        Mount(FILES, StaticFiles(directory=_folder())),
    ]


def _folder() -> Path:
    found = find_spec("fastapi_offline")  # found, not imported: the files are all that is wanted
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "static"
