"""Models are loaded, exchanged and taken away while the server answers."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.tasks import Task
from model_store.copying import copy_checkpoint
from model_store.manifest import Promotion
from model_store.sources import open_source
from model_store.store import Store
from tests.models import tiny_checkpoint
from tests.running import RunningServer, running

KEY = "the administrator's"


def publish(store: Store, folder: Path, name: str, seed: int) -> None:
    tiny_checkpoint(folder / f"{name}-{seed}", "bert", Task.TEXT_CLASSIFICATION, seed=seed)
    plain = open_source(name, str(folder / f"{name}-{seed}"), cache_root=store.cache_root)
    store.publish(name, lambda target: copy_checkpoint(plain, target))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("rollout")
    store = Store(root / "store")
    publish(store, root, "intent", 1)
    store.set_alias("intent", "production", 1)
    publish(store, root, "intent", 2)
    publish(store, root, "other", 3)
    return store


@pytest.fixture(scope="module")
def server(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("log") / "log"
    arguments = (f"--store={store.root}", "--backend=torch", "--precision=fp32")
    processes = ("--http-processes=2", "--engines-per-device=2")
    with running(log, *arguments, *processes, SERVE_ADMIN_KEY=KEY) as one:
        one.wait_ready()
        yield one


def admin(server: RunningServer, path: str, key: str = KEY, **body: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(
        f"{server.url}/admin/models/{path}", json=body or None, headers=headers, timeout=60
    )


def served(server: RunningServer) -> dict[str, list[str]]:
    """The models that answer, and their aliases."""
    return {
        f"{one['name']}@{one['version']}": one["aliases"] for one in server.ready()[1]["models"]
    }


def everywhere(server: RunningServer, wanted: dict[str, list[str]]) -> None:
    """Every HTTP process tells the same, soon."""
    ends = time.monotonic() + 5
    seen = 0
    while seen < 10:
        if served(server) == wanted:
            seen += 1
        else:
            assert time.monotonic() < ends, served(server)
            seen = 0


class Traffic(threading.Thread):
    """Asks for the plain name until it is stopped."""

    def __init__(self, server: RunningServer) -> None:
        super().__init__(daemon=True)
        self.url = f"{server.url}/models/intent"
        self.statuses: Counter[int] = Counter()
        self.versions: list[str] = []
        self.slowest_s = 0.0
        self.stopped = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self.stopped.is_set():
                began = time.monotonic()
                answer = client.post(self.url, json={"inputs": "Where is my parcel?"})
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.statuses[answer.status_code] += 1
                version = answer.headers.get("x-model-version", "")
                if version not in self.versions[-1:]:
                    self.versions.append(version)

    def __enter__(self) -> "Traffic":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join(30)


def test_an_alias_moves_under_traffic_and_back_and_nobody_notices(
    server: RunningServer, store: Store
):
    assert served(server) == {"intent@1": ["production"], "other@1": []}
    with Traffic(server) as traffic:
        moved = admin(server, "intent/alias", alias="production", version=2)
        assert moved.status_code == 200, moved.text
        assert [one["version"] for one in moved.json()["models"]] == [2]
        assert store.aliases("intent") == {"production": 2}
        everywhere(server, {"intent@2": ["production"], "other@1": []})
        back = admin(server, "intent/rollback", alias="production", version=1)
        assert back.status_code == 200, back.text
        everywhere(server, {"intent@1": ["production"], "other@1": []})
        time.sleep(0.1)
    assert set(traffic.statuses) == {200}
    assert traffic.versions == ["intent@1", "intent@2", "intent@1"]


def test_a_promotion_in_the_store_takes_effect_by_load_and_rollback_knows_what_it_replaced(
    server: RunningServer, store: Store
):
    promotion = Promotion(alias="production", by="me", replaced=1, metric="accuracy", examples=1)
    store.promote("intent", 2, promotion)
    assert "intent@1" in served(server)
    assert admin(server, "intent/load").status_code == 200
    everywhere(server, {"intent@2": ["production"], "other@1": []})
    assert admin(server, "intent/rollback").status_code == 200
    everywhere(server, {"intent@1": ["production"], "other@1": []})
    again = admin(server, "intent/rollback")
    assert again.status_code == 422
    assert "name the version" in again.json()["error"]


def test_one_version_more_and_one_model_less_survive_a_crash_of_every_engine(
    server: RunningServer,
):
    assert admin(server, "intent@2/load").status_code == 200
    assert admin(server, "other/unload").status_code == 200
    wanted = {"intent@1": ["production"], "intent@2": []}
    everywhere(server, wanted)
    assert server.ask("other", "a").status_code == 404
    for pid in server.ready()[1]["engine_pids"]:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    server.wait_ready()
    everywhere(server, wanted)
    assert server.ask("intent@2", "a").status_code == 200
    assert admin(server, "other/load").status_code == 200
    assert admin(server, "intent@2/unload").status_code == 200
    everywhere(server, {"intent@1": ["production"], "other@1": []})


def test_what_is_refused_changes_nothing(server: RunningServer, store: Store, tmp_path: Path):
    publish(store, tmp_path, "intent", 4)
    weights = store.root / "intent" / "3" / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-8] + b"\1" * 8)
    refused = admin(server, "intent/alias", alias="production", version=3)
    assert refused.status_code == 422
    assert "sha256 differs" in refused.json()["error"]
    assert store.aliases("intent") == {"production": 1}
    everywhere(server, {"intent@1": ["production"], "other@1": []})
    assert admin(server, "nothing/load").status_code == 404
    assert admin(server, "nothing/unload").status_code == 404
    assert admin(server, "intent@9/load").status_code == 404
    assert admin(server, "intent/alias", alias="production").status_code == 422


def test_the_administrators_key_is_asked_for(server: RunningServer):
    assert admin(server, "intent/load", key="another").status_code == 401
    assert httpx.post(f"{server.url}/admin/models/intent/load").status_code == 401
    index = f"{server.url}/v2/repository/models/intent/unload"
    assert httpx.post(index).status_code == 401


def test_a_server_may_start_without_a_model_and_get_its_first_one(tmp_path: Path):
    store = Store(tmp_path / "store")
    arguments = (f"--store={store.root}", "--backend=torch", "--precision=fp32")
    with running(tmp_path / "log", *arguments, SERVE_ADMIN_KEY=KEY) as server:
        ends = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                if server.ready()[1]["state"] == "no_model":
                    break
            assert time.monotonic() < ends
            time.sleep(0.05)
        assert server.ready()[0] == 503
        assert server.ask("first", "a").status_code == 404
        publish(store, tmp_path, "first", 1)
        assert admin(server, "first/load").status_code == 200
        assert server.ready()[0] == 200
        assert server.ask("first", "a").status_code == 200
