"""What the adapter takes for granted in LitServe 0.2.19: each fails when LitServe changes."""

import inspect
from importlib.metadata import version
from pathlib import Path

import litserve
import pytest
import uvicorn
from litserve.loops import LitLoop
from litserve.loops.loops import inference_worker

from server.drain import Drain
from server.http_server import HttpServer
from server.lanes import Lane
from server.litserve_adapter import EngineApi, EngineLoop, Shutdown, TuneServer


def test_the_version_is_the_one_that_was_read():
    assert version("litserve") == "0.2.19"


def overridden(ours: type, theirs: type) -> list[str]:
    return [
        name for name in vars(ours) if not name.startswith(("__", "_abc")) and hasattr(theirs, name)
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (
            TuneServer,
            litserve.LitServer,
            {
                "_register_internal_endpoints",
                "_register_api_endpoints",
                "_register_middleware",
                "lifespan",
                "_init_manager",
                "launch_inference_worker",
                "launch_single_inference_worker",
                "verify_worker_status",
                "_start_server",
                "_start_worker_monitoring",
                "_perform_graceful_shutdown",
            },
        ),
        (EngineApi, litserve.LitAPI, {"setup", "predict", "_has_custom_setup"}),
        (EngineLoop, LitLoop, {"run"}),
        (HttpServer, uvicorn.Server, {"handle_exit", "on_tick", "shutdown"}),
    ],
)
def test_every_override_still_overrides(ours: type, theirs: type, expected: set[str]):
    assert set(overridden(ours, theirs)) == expected


@pytest.mark.parametrize(
    "name",
    ["_start_server", "_start_worker_monitoring", "_perform_graceful_shutdown", "_init_manager"],
)
def test_overrides_take_the_arguments_that_run_gives(name: str):
    theirs = inspect.signature(getattr(litserve.LitServer, name)).parameters
    ours = inspect.signature(getattr(TuneServer, name)).parameters
    assert list(ours) == list(theirs)


def test_run_still_calls_what_is_overridden():
    source = inspect.getsource(litserve.LitServer.run)
    for call in (
        "self._init_manager(",
        "for lit_api in self.litapi_connector:",
        "self.inference_workers.extend(",
        "self.launch_inference_worker(",
        "self.verify_worker_status(",
        "self._start_server(",
        "self._start_worker_monitoring(",
        "self._shutdown_event.wait()",
        "self._perform_graceful_shutdown(",
    ):
        assert call in source


def test_the_worker_still_takes_what_the_adapter_passes():
    names = list(inspect.signature(inference_worker).parameters)
    assert names == [
        "lit_api",
        "device",
        "worker_id",
        "request_queue",
        "transport",
        "workers_setup_status",
        "callback_runner",
        "restart_workers",
    ]


def api(lane: Lane, per_device: int) -> EngineApi:
    return EngineApi(lane, print, Path("run"), per_device)


def build(*apis: EngineApi) -> TuneServer:
    return TuneServer(
        apis,
        drain=Drain(1),
        connect=lambda: pytest.fail("nothing runs"),
        accelerator="cpu",
        devices=1,
        gzip=False,
    )


def test_litserve_registers_no_route_and_no_middleware_of_its_own():
    server = build(api(Lane.ENCODING, 1), api(Lane.GENERATION, 1))
    paths = {getattr(route, "path", "") for route in server.app.routes}
    assert paths == {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
    assert server.app.user_middleware == []


def test_one_engine_per_device_and_worker_of_each_lane():
    server = build(api(Lane.ENCODING, 2), api(Lane.GENERATION, 1))
    assert server._inference_workers_config_for_api("/engine") == ["cpu", "cpu"]
    assert server._inference_workers_config_for_api("/generation") == ["cpu"]


def test_every_engine_has_a_socket_of_its_own_and_starts_again_as_itself(
    monkeypatch: pytest.MonkeyPatch,
):
    apis = (api(Lane.ENCODING, 2), api(Lane.GENERATION, 1))
    names = [path.name for one in apis for path in one.socket_paths(devices=1)]
    assert names == ["engine-0.sock", "engine-1.sock", "generation-0.sock"]
    server = build(*apis)
    monkeypatch.setattr(
        server, "launch_single_inference_worker", lambda one, number: (one.lane, number)
    )
    # As LitServe's run does it.
    workers = [
        each for one in server.litapi_connector for each in server.launch_inference_worker(one)
    ]
    assert workers == [(Lane.ENCODING, 0), (Lane.ENCODING, 1), (Lane.GENERATION, 0)]
    assert [(one.lane, number) for one, number in server._places] == workers


def test_the_worker_runs_its_lane_on_its_socket():
    ran: list[tuple[Path, str]] = []
    one = EngineApi(Lane.GENERATION, lambda *given: ran.append(given), Path("run"), 1)
    with pytest.raises(SystemExit):
        EngineLoop().run(one, "cpu", 3)
    assert ran == [(Path("run/generation-3.sock"), "cpu")]


def test_shutdown_can_be_set_from_a_signal_handler_and_stays_set():
    shutdown = Shutdown()
    assert not shutdown.wait(timeout=0)
    shutdown.set()
    assert shutdown.is_set()
    assert shutdown.wait(timeout=0)
    assert shutdown.wait()
