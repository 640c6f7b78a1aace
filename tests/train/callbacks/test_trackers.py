"""Each tracker records a real run where it is read back, and calls nobody while it does."""

import json
import socket
import struct
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import CheckpointError
from tests.deploy.dockerfile import ROOT
from tests.train.engine import fit_tiny
from train.callbacks import Callback, Run
from train.callbacks.choice import BUILT_IN
from train.callbacks.trackers import Tracker

TRACKERS = {name: kind for name, kind in BUILT_IN.items() if issubclass(kind, Tracker)}
SETTINGS = {
    "tensorboard": 'folder = "{folder}"',
    "wandb": 'folder = "{folder}"\nmode = "offline"',
    "mlflow": 'uri = "sqlite:///{folder}/runs.db"',
}
RUN_FILES = {"base", "made", "recipe.toml", "train.csv"}
"""What a tiny run itself leaves in its folder."""
Points = dict[str, list[tuple[int, float]]]
"""Step and value, by name."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The first bytes of every connection to another machine: a proxy that only listens."""
    found: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"

        def listen() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return  # closed
                with caller:
                    found.append(caller.recv(200))

        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, address)
            monkeypatch.setenv(name.lower(), address)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield found
        server.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=10)


def read_tensorboard(folder: Path) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert [one.name for one in sorted(folder.iterdir())] == ["tiny-1", "tiny-2"]
    events = EventAccumulator(str(folder / "tiny-2")).Reload()
    return {
        name: [(one.step, one.value) for one in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def read_wandb(folder: Path) -> Points:
    """The newest offline run: blocks of 32 KiB as in LevelDB's logs, a protobuf in each record."""
    from wandb.proto.wandb_internal_pb2 import Record

    runs = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(runs) == 2
    path = max(runs, key=lambda one: one.stat().st_mtime)
    content = path.read_bytes()
    assert content.startswith(b":W&B")
    points: Points = {}
    at, whole = 7, b""
    while at + 7 <= len(content):
        left = 2**15 - at % 2**15
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind not in (1, 4):  # a whole record, or the last part of one
            continue
        record, whole = Record.FromString(whole), b""
        if record.WhichOneof("record_type") != "history":
            continue
        values = {
            one.key or "/".join(one.nested_key): json.loads(one.value_json)
            for one in record.history.item
        }
        for name, value in values.items():
            if not name.startswith("_"):
                points.setdefault(name, []).append((values["_step"], value))
    return points


def read_mlflow(folder: Path) -> Points:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/runs.db")
    experiment = client.get_experiment_by_name("tuneserve")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    assert run.info.run_name == "tiny"
    return {
        name: [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


READERS = {"tensorboard": read_tensorboard, "wandb": read_wandb, "mlflow": read_mlflow}


class Broken(Callback):
    """Ends a run in its second epoch, as a bug would."""

    def on_epoch_begin(self, run: Run) -> None:
        if run.step:
            raise RuntimeError("a bug")


def entry(name: str, folder: Path) -> str:
    return f'[[callbacks]]\nname = "{name}"\n{SETTINGS[name].format(folder=folder)}'


# MLflow's tables ask SQLAlchemy for what its next release will drop.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_holds_what_a_run_came_to_and_nothing_of_one_that_broke_and_calls_nobody(
    name: str, tmp_path: Path, calls: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # which MLflow takes for a wish to be left alone
    folder = tmp_path / "tracked"
    folder.mkdir()
    with pytest.raises(RuntimeError, match="a bug"):
        fit_tiny(tmp_path, more=entry(name, folder), callbacks=[Broken()])
    settings = {"lr": 1e-3, "schedule": '"constant_with_warmup"', "warmup_share": 0}
    done = fit_tiny(tmp_path, more=entry(name, folder), epochs=2, batch_rows=22, **settings)
    points = READERS[name](folder)
    curves = done.fitted.curves
    for score in ("accuracy", "macro_f1"):
        found = points.pop(f"dev/{score}")
        assert [step for step, _ in found] == [2, 4]
        assert [value for _, value in found] == pytest.approx([one[score] for one in curves])
    losses = dict(points.pop("train/loss"))
    assert sorted(losses) == [1, 2, 3, 4]
    assert (losses[3] + losses[4]) / 2 == pytest.approx(curves[1]["loss"])
    assert [value for _, value in points.pop("train/lr")] == pytest.approx([1e-3] * 4)
    assert {one.name for one in tmp_path.iterdir()} == {"tracked", *RUN_FILES}
    assert calls == []


@pytest.mark.parametrize("name", TRACKERS)
def test_without_its_package_a_tracker_says_what_to_install(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert name in project["optional-dependencies"]
    with pytest.raises(CheckpointError, match=rf"pip install 'tuneserve\[{name}\]'"):
        fit_tiny(tmp_path, more=entry(name, tmp_path))


def test_the_tools_for_development_hold_what_each_tracker_needs() -> None:
    """So that the tests above run as they stand wherever the project is developed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for name in TRACKERS:
        assert set(extras[name]) <= set(extras["dev"])
