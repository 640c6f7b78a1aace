"""What the Open Inference Protocol tells about models: metadata, configuration, statistics, index.

The shapes are Triton's JSON, as its clients document them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from server.messages import ModelStatus
from server.protocols.open_inference_tasks import input_names, output_names
from server.statistics import ModelStatistics, Spent, Statistics

_STATES = {"ready": "READY", "loading": "LOADING", "refused": "UNAVAILABLE"}
_CONFIG_TYPES = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"}


def metadata(model: ModelStatus, versions: Sequence[ModelStatus]) -> dict[str, Any]:
    """A model's inputs and outputs.

    Args:
        model: the version that was asked about.
        versions: all that are ready.
    """
    needed, _ = input_names(model)
    return {
        "name": model.name,
        "versions": sorted((str(one.version) for one in versions), key=int),
        "platform": model.backend,
        "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in needed],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": shape}
            for name, (datatype, shape) in output_names(model).items()
        ],
    }


def configuration(model: ModelStatus) -> dict[str, Any]:
    """A model's configuration in the words of Triton's ``ModelConfig``."""
    needed, optional = input_names(model)
    kind = "KIND_GPU" if model.device == "cuda" else "KIND_CPU"
    parameters = {
        "task": model.task,
        "precision": model.precision,
        "max_tokens": model.max_tokens,
        "labels": ",".join(model.labels),
    }
    return {
        "name": model.name,
        "platform": model.backend,
        "backend": model.backend,
        "version_policy": {"specific": {"versions": [model.version]}},
        "max_batch_size": 0,
        "input": [
            {"name": name, "data_type": "TYPE_STRING", "dims": [-1], "optional": name in optional}
            for name in (*needed, *optional)
        ],
        "output": [
            {"name": name, "data_type": _CONFIG_TYPES[datatype], "dims": shape}
            for name, (datatype, shape) in output_names(model).items()
        ],
        "instance_group": [{"name": model.name, "kind": kind, "count": 1}],
        "dynamic_batching": {},
        "parameters": {
            name: {"string_value": str(value)}
            for name, value in parameters.items()
            if value is not None
        },
    }


def statistics(models: Iterable[ModelStatus], counted: Statistics) -> dict[str, Any]:
    """The counters of some versions, times in nanoseconds."""
    return {"model_stats": [_statistics(model, counted.of(model.id)) for model in models]}


def index(models: Iterable[ModelStatus], *, only_ready: bool) -> list[dict[str, str]]:
    """Every version with its state, and a reason where it is not ready."""
    return [
        {
            "name": model.name,
            "version": str(model.version),
            "state": _STATES[model.state],
            "reason": model.reason or "",
        }
        for model in models
        if model.state == "ready" or not only_ready
    ]


def _statistics(model: ModelStatus, counted: ModelStatistics) -> dict[str, Any]:
    parts = {
        "success": counted.success,
        "fail": counted.fail,
        "queue": counted.queue,
        "compute_input": counted.tokenize,
        "compute_infer": counted.compute,
        "compute_output": Spent(counted.compute.count),
        "cache_hit": counted.kept,
        "cache_miss": Spent(),
    }
    return {
        "name": model.name,
        "version": str(model.version),
        "last_inference": int(counted.last * 1000),
        "inference_count": counted.items,
        "execution_count": counted.batches,
        "inference_stats": {
            name: {"count": spent.count, "ns": int(spent.seconds * 1e9)}
            for name, spent in parts.items()
        },
        "batch_stats": [],
    }
