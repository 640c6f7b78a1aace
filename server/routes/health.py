"""Probes and metrics: open to all, cheap, and true under load."""

import os
from typing import Any, Literal

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typing_extensions import TypedDict

from server.front import Front
from server.openapi import Section, json_answer, operation, refer, schemas_of
from server.routes.models import ModelInfo, described

State = Literal["ready", "loading", "draining", "no_model"]


class Live(TypedDict):
    """The process answers."""

    state: Literal["live"]


class ServedModel(ModelInfo):
    """One model, and the process that serves it."""

    engine_pid: int | None


class Readiness(TypedDict):
    """The server's state and that of every model."""

    state: State
    server_pid: int
    http_pid: int
    engine_pids: list[int | None]
    models: list[ServedModel]


class Word(TypedDict):
    """The state alone."""

    status: State


def health_routes(front: Front) -> list[Route]:
    """The paths of this family."""

    def state() -> str:
        if front.drain.begun:
            return "draining"
        return "ready" if front.engines.ready else "loading"

    def readiness() -> tuple[int, dict[str, Any]]:
        """Ready: every model is loaded and warmed, or refused with its reason, and one answers."""
        now = state()
        if now == "ready" and not any(model.state == "ready" for model in front.models):
            now = "no_model"
        report = {
            "state": now,
            "server_pid": front.server_pid,
            "http_pid": os.getpid(),
            "engine_pids": [link.pid for link in front.engines.links],
            "models": [
                described(model) | {"engine_pid": front.engines.pid(model)}
                for model in front.models
            ],
        }
        return 200 if now == "ready" else 503, report

    async def livez(_: Request) -> Response:
        return JSONResponse({"state": "live"})

    async def readyz(_: Request) -> Response:
        status, report = readiness()
        return JSONResponse(report, status, _retry(status))

    async def health(_: Request) -> Response:
        status, report = readiness()
        return JSONResponse({"status": report["state"]}, status, _retry(status))

    async def metrics(_: Request) -> Response:
        return Response(front.metrics.render(), media_type=CONTENT_TYPE_LATEST)

    paths = {"/livez": livez, "/readyz": readyz, "/health": health, "/ping": health}
    return [Route(path, end) for path, end in {**paths, "/metrics": metrics}.items()]


def health_section() -> Section:
    """What the OpenAPI document says of them."""

    def get(summary: str, answer: str, *statuses: int) -> dict[str, Any]:
        told = {200: "As asked", 503: "Loading, restarting or draining; see Retry-After"}
        responses = {str(one): json_answer(refer(answer), told[one]) for one in (200, *statuses)}
        return {"get": operation(summary, responses)}

    text = {"description": "The exposition", "content": {"text/plain": {"schema": _TEXT}}}
    return Section(
        tag="health",
        about="Probes and metrics; they ask for no key.",
        paths={
            "/livez": get("The process is up", "Live"),
            "/readyz": get("The models are loaded and warmed", "Readiness", 503),
            "/health": get("As /readyz, in a word", "Word", 503),
            "/ping": get("As /readyz, in a word (SageMaker)", "Word", 503),
            "/metrics": {"get": operation("Prometheus metrics", {"200": text})},
        },
        schemas=schemas_of({"Live": Live, "Readiness": Readiness, "Word": Word}),
    )


_TEXT = {"type": "string"}


def _retry(status: int) -> dict[str, str]:
    return {} if status == 200 else {"Retry-After": "1"}
