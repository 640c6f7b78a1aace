"""What a model has done, as Triton's clients ask for it."""

from typing import Any

from server.messages import BatchRan, Done, ModelStatus
from server.metrics import Metrics
from server.protocols.open_inference_models import statistics

MODEL = ModelStatus("intent", 3, (), "text-classification", "ready")
DONE = Done(1, [["a"], ["b"]], 1, False, queue_s=0.001, tokenize_s=0.002, compute_s=0.003)


def told(metrics: Metrics) -> dict[str, Any]:
    [one] = statistics([MODEL], metrics.statistics)["model_stats"]
    return dict(one)


def test_requests_items_and_batches_are_counted_with_their_times():
    metrics = Metrics()
    metrics.batch_ran(BatchRan("intent@3", 2, 20, 32, 0.003, "drained"))
    metrics.answered(MODEL, "open-inference", 200, 0.01, DONE)
    metrics.answered(MODEL, "openai", 413, 0.02, DONE)
    metrics.answered(MODEL, "hugging-face", 503, 0.03, None)
    one = told(metrics)
    assert (one["name"], one["version"]) == ("intent", "3")
    assert (one["inference_count"], one["execution_count"]) == (2, 1)
    assert one["last_inference"] > 1_700_000_000_000
    spent = one["inference_stats"]
    assert spent["success"] == {"count": 1, "ns": 10_000_000}
    assert spent["fail"]["count"] == 2
    assert spent["queue"] == {"count": 1, "ns": 1_000_000}
    assert spent["compute_input"] == {"count": 1, "ns": 2_000_000}
    assert spent["compute_infer"] == {"count": 1, "ns": 3_000_000}


def test_an_answer_that_was_kept_is_a_success_and_a_hit_and_no_inference():
    metrics = Metrics()
    metrics.answered(MODEL, "hugging-face", 200, 0.001, None)
    one = told(metrics)
    assert one["inference_count"] == 0
    assert one["inference_stats"]["success"]["count"] == 1
    assert one["inference_stats"]["cache_hit"] == {"count": 1, "ns": 1_000_000}
    assert one["inference_stats"]["compute_infer"]["count"] == 0
    assert one["inference_stats"]["fail"]["count"] == 0
