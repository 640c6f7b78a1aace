"""Probes and metrics: open to all, cheap, and true under load."""

import os
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from server.front import Front
from server.routes.models import described


def health_routes(front: Front) -> APIRouter:
    """The paths of this family."""
    router = APIRouter(tags=["health"])

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

    @router.get("/livez", summary="The process is up")
    async def livez() -> dict[str, str]:
        return {"state": "live"}

    @router.get("/readyz", summary="The models are loaded and warmed")
    async def readyz() -> Response:
        status, report = readiness()
        headers = {} if status == 200 else {"Retry-After": "1"}
        return JSONResponse(report, status, headers)

    @router.get("/health", summary="As /readyz, in a word")
    @router.get("/ping", summary="As /readyz, in a word (SageMaker)")
    async def health() -> Response:
        status, report = readiness()
        headers = {} if status == 200 else {"Retry-After": "1"}
        return JSONResponse({"status": report["state"]}, status, headers)

    @router.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(front.metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return router
