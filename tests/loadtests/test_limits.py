"""The check fails when it should, and only then."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.limits import Limits, Measured, missed, read_limits
from loadtests.run import MODELS, table

LIMITS = {"chatbot": Limits(0.01, 100, 400, 5.0)}
GOOD = Measured("chatbot", 1000, 10, 0, 100, 400, 5.0)
PART = Measured("chatbot: qa", 1000, 0, 0, 9000, 9000, 0.1)


def test_figures_on_the_limits_hold() -> None:
    assert missed([GOOD, PART], LIMITS) == []


@pytest.mark.parametrize(
    ("worse", "word"),
    [
        (replace(GOOD, failures=11), "failed"),
        (replace(GOOD, p50_ms=101), "p50"),
        (replace(GOOD, p99_ms=401), "p99"),
        (replace(GOOD, per_second=4.9), "a second"),
        (replace(GOOD, wrong=1), "wrong shape"),
        (replace(GOOD, requests=0, failures=0), "no request"),
    ],
)
def test_one_worse_figure_is_one_sentence_that_names_it(worse: Measured, word: str) -> None:
    [sentence] = missed([worse], LIMITS)
    assert sentence.startswith("chatbot: ")
    assert word in sentence


def test_a_scenario_that_did_not_run_is_missed() -> None:
    assert missed([PART], LIMITS) == ["chatbot: no request was answered."]


def test_a_wrong_shape_in_a_part_of_a_scenario_is_missed() -> None:
    [sentence] = missed([GOOD, replace(PART, wrong=2, failures=2)], LIMITS)
    assert sentence == "chatbot: qa: 2 answers had a wrong shape."


def test_the_file_has_limits_for_both_scenarios_and_allows_no_failure() -> None:
    limits = read_limits()
    assert set(limits) == {"chatbot", "recommender"}
    assert all(limit.max_failure_ratio == 0 for limit in limits.values())
    assert all(0 < limit.max_p50_ms < limit.max_p99_ms for limit in limits.values())
    assert all(limit.min_per_second > 0 for limit in limits.values())


def test_a_misspelt_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text("[chatbot]\nmax_p50 = 3\n")
    with pytest.raises(TypeError, match="max_p50"):
        read_limits(path)


def test_table_shows_every_name_and_each_limit_beside_its_figure() -> None:
    lines = table([GOOD, PART], LIMITS).splitlines()
    assert len(lines) == 3
    assert "100 (<= 100)" in lines[1]
    assert "5.00 (>= 5.00)" in lines[1]
    assert "<=" not in lines[2]


def test_models_that_are_asked_are_those_that_are_looked_for() -> None:
    assert MODELS == ("intent", "entities", "qa")
