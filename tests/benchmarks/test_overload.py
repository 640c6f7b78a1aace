"""An overload is judged by its worst: any other answer counts, and shares are of its own peak."""

from typing import Any

from benchmarks.overload import joined, verdicts

LOST = {"connect": 0, "read": 0, "write": 0, "timeout": 0}


def one_round(peak: float, accepted: int, pss: float, **others: Any) -> dict[str, Any]:
    statuses = {"200": accepted, "429": 5000} | others
    return {
        "peak": peak,
        "load": {
            **{"statuses": statuses, "seconds": 10.0, "p50_ms": 900.0, "p99_ms": 1500.0},
            **{"max_ms": 1600.0, "retry_after_s": 2.0, "lost": LOST},
        },
        "watch": {
            **{"livez_failed": 0, "livez_slowest_ms": 40.0, "livez_asked": 40},
            **{"pss_first": pss - 1, "pss_last": pss, "pss_most": pss},
        },
    }


def test_goodput_is_a_share_of_the_peak_of_the_same_round() -> None:
    found = joined([one_round(500, 4500, 300), one_round(250, 2000, 303)])
    assert found["shares"] == [0.9, 0.8]
    assert found["memory_growth"] == 303 / 300
    assert (found["accepted"], found["refused"], found["other"]) == (6500, 10_000, 0)


def test_any_other_status_and_any_lost_request_is_told() -> None:
    broken = one_round(500, 4500, 300, **{"503": 2})
    broken["load"]["lost"] = LOST | {"read": 1}
    found = joined([broken])
    assert found["other"] == 3
    assert found["memory_growth"] is None
    lines = {one["what"]: one for one in verdicts({"short": found | {"refusal_ms": 0.1}})}
    assert lines["overload, short: neither 200 nor 429"]["reached"] is False
    assert lines["overload, short: share of the peak"]["reached"] is True
    assert lines["overload, short: CPU ms per refusal"]["reached"] is True
