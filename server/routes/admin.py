"""/admin: what is served is changed while it is served. Closed unless there is a key for it."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contracts.errors import Forbidden, Unauthorized
from contracts.schemas import Strict
from server.exchange import Endpoint, Exchange
from server.front import Front
from server.keys import digest_of
from server.messages import ModelStatus
from server.parsing import parse_body
from server.rollout import Rollout
from server.routes.models import described


class AliasBody(Strict):
    """Where an alias goes."""

    alias: str = "production"
    version: Annotated[int, Field(ge=1)]


class RollbackBody(Strict):
    """Which alias goes back, and where to."""

    alias: str = "production"
    version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Default: what the last promotion replaced."
    )


class AdminEndpoint(Endpoint):
    """A path that asks for the administrator's key, and for no other."""

    def admit(self, exchange: Exchange) -> None:
        """Let the administrator in.

        Raises:
            Forbidden: there is no administrator.
            Unauthorized: no key, or another one.
        """
        check_admin(exchange.front.settings.admin_key, exchange.request)


def admin_routes(front: Front, rollout: Rollout) -> list[Route]:
    """The paths of this family."""

    def route(end: str, handle: Callable[[Exchange], Awaitable[list[ModelStatus]]]) -> Route:
        async def answer(exchange: Exchange) -> Response:
            models = await handle(exchange)
            return exchange.respond({"models": [described(model) for model in models]})

        endpoint = AdminEndpoint(front, answer, asks=False)
        return Route(f"/admin/models/{{name}}/{end}", endpoint, methods=["POST"])

    async def load(exchange: Exchange) -> list[ModelStatus]:
        return await rollout.load(_name(exchange))

    async def unload(exchange: Exchange) -> list[ModelStatus]:
        return await rollout.unload(_name(exchange))

    async def alias(exchange: Exchange) -> list[ModelStatus]:
        body = parse_body(AliasBody, await exchange.body())
        return await rollout.alias(_name(exchange), body.alias, body.version)

    async def rollback(exchange: Exchange) -> list[ModelStatus]:
        body = parse_body(RollbackBody, await exchange.body() or b"{}")
        return await rollout.rollback(_name(exchange), body.alias, body.version)

    return [
        route("load", load),
        route("unload", unload),
        route("alias", alias),
        route("rollback", rollback),
    ]


def check_admin(key: str | None, request: Request) -> None:
    """Pass, or refuse; see ``AdminEndpoint.admit``."""
    if not key:
        raise Forbidden(
            "Models are not changed over HTTP here: start the server with SERVE_ADMIN_KEY to allow"
            " it."
        )
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    given = request.headers.get("x-api-key") or bearer
    if not hmac.compare_digest(digest_of(given), digest_of(key)):
        raise Unauthorized(
            "This asks for the administrator's key: send Authorization: Bearer KEY or X-API-Key:"
            " KEY."
        )


def _name(exchange: Exchange) -> str:
    return str(exchange.request.path_params["name"])
