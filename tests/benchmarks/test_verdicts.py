"""Bars are compared with figures of the same run, and what was not measured is not reached."""

from typing import Any

import pytest

from benchmarks.rounds import medians
from benchmarks.tables import summary
from benchmarks.verdicts import ceiling, lone_ms, verdicts


def cell(per_second: float, p50: float = 1.0, p99: float = 2.0, failed: int = 0) -> dict[str, Any]:
    return {
        **{"per_second": per_second, "p50_ms": p50, "p90_ms": p50, "p99_ms": p99, "max_ms": p99},
        **{"failed": failed, "requests": 100, "cpu_ms": {"http": 0.5}},
        "errors": {"status": failed},
        "rounds": [per_second],
    }


def result() -> dict[str, Any]:
    loads = {"1": cell(100, p50=3.0), "64": cell(600, p50=100.0, p99=240.0), "256": cell(600)}
    peer = {"64": cell(100)}
    found: dict[str, Any] = {
        "machine": {
            **{"cpu": "Example", "cores": 2.0, "amx": True, "flags": ["amx_bf16"]},
            **{"memory_gib": 24.0, "load_average": [0.1, 0.2, 0.3]},
        },
        "settings": {"rounds": 3, "seconds": 4.0},
        "served": [{"name": "m", "backend": "openvino", "precision": "bf16"}],
        "servers": {"tuneserve": {"short": loads}, "litserve": {"short": peer}},
        "engines": {
            "slow": {"short": {"per_second": 500.0}, "lone": {"p50_ms": 1.0}},
            "fast": {"short": {"per_second": 1000.0}, "lone": {"p50_ms": 2.5}},
            "absent": {"error": "no such file"},
        },
    }
    found["http_alone"] = {"64": cell(2200)}
    return found | {"verdicts": verdicts(found)}


def test_every_bar_is_told_with_its_figure_and_whether_it_is_reached() -> None:
    lines = {one["what"]: one for one in result()["verdicts"]}
    share = lines["64 clients, short: share of the best engine"]
    assert (share["found"], share["reached"]) == (0.6, True)
    assert lines["64 clients, short: times LitServe"]["found"] == 6.0
    assert lines["64 clients, short: p99 over p50"]["reached"] is True
    assert lines["1 client, short: ms over the bare call, p50"]["found"] == pytest.approx(2.0)
    assert lines["1 client, short: ms over the bare call, p50"]["reached"] is False
    assert lines["64 clients, mixed: share of the best engine"]["reached"] is None


def test_the_ceiling_is_the_fastest_engine_and_the_lone_call_that_of_its_own_best() -> None:
    assert ceiling(result(), "short") == ("fast", 1000.0)
    assert ceiling(result(), "mixed") is None
    assert lone_ms(result()) == 1.0


def test_the_summary_puts_the_bars_first_and_names_what_did_not_run() -> None:
    text = summary(result())
    assert text.index("reached") < text.index("times LitServe") < text.index("requests/s")
    assert "| absent | no such file |" in text
    assert "AMX" in text.splitlines()[0]
    assert "**no**" in text


def test_medians_are_taken_over_rounds_and_failures_are_summed() -> None:
    rounds = [
        {
            "servers": {"tuneserve": {"short": {"64": cell(rate, failed=1)}}},
            "engines": {
                "a": {"short": {"per_second": rate}, "lone": {"p50_ms": rate}},
                "b": {"short": {"error": "broken"}, "lone": {"error": "broken"}},
            },
        }
        for rate in (10.0, 50.0, 30.0)
    ]
    found = medians(rounds)
    one = found["servers"]["tuneserve"]["short"]["64"]
    assert (one["per_second"], one["failed"], one["errors"]) == (30.0, 3, {"status": 3})
    assert found["engines"]["a"]["short"]["per_second"] == 30.0
    assert found["engines"]["b"] == {"error": "broken"}
