"""Two commits are told apart by the ratios of pairs, and nothing of them is left behind."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import compared, git, summary, tree, turns

NO_GIT = git("rev-parse", "HEAD").returncode != 0


def cell(per_second: float, cpu_ms: float = 1.0) -> dict[str, Any]:
    return {
        **{"per_second": per_second, "p50_ms": 1.0, "p99_ms": 2.0, "failed": 0},
        "cpu_ms": {"http": cpu_ms / 2, "engine": cpu_ms / 2},
    }


def test_the_ratio_is_that_of_pairs_which_a_drifting_machine_hits_alike() -> None:
    # The machine gets four times slower, and in each pair the other is a tenth faster.
    found = compared([[cell(400), cell(440)], [cell(200), cell(220)], [cell(100), cell(110)]])
    assert found["requests/s"]["ratio"] == pytest.approx(1.1)
    assert found["requests/s"]["ratios"] == [1.1, 1.1, 1.1]
    assert found["requests/s"]["base"] == 200
    assert found["CPU ms per request"]["other"] == 1.0


def test_a_spread_around_one_is_told_as_no_difference() -> None:
    loads = {
        "short, 64": compared([[cell(100), cell(90)], [cell(100), cell(120)]]),
        "mixed, 64": compared([[cell(100), cell(130)], [cell(100), cell(120)]]),
    }
    facts = {
        **{"cpu": "Example", "cores": 2.0, "amx": False, "flags": []},
        **{"memory_gib": 24.0, "load_average": [0.1, 0.2, 0.3]},
    }
    found = {"machine": facts, "base": "a1", "other": "b2", "served": [], "failed": 0}
    lines = [
        line for line in summary({**found, "loads": loads}).splitlines() if "requests/s" in line
    ]
    assert "| **1.050** | 0.900 to 1.200 | no difference seen |" in lines[0]
    assert "| **1.250** | 1.200 to 1.300 | differs in every pair |" in lines[1]


def test_the_two_go_first_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[Any] = []
    monkeypatch.setattr(
        "benchmarks.compare.loaded", lambda target, *_: order.append(target) or cell(len(order))
    )
    targets: Any = ["base", "other"]
    first = turns(targets, Path("bodies"), 1, 1.0, turn=0)
    second = turns(targets, Path("bodies"), 1, 1.0, turn=1)
    assert order == ["base", "other", "other", "base"]
    assert [one["per_second"] for one in (*first, *second)] == [1, 2, 4, 3]


@pytest.mark.skipif(NO_GIT, reason="not a git checkout")
def test_a_commit_is_checked_out_and_taken_away_again(tmp_path: Path) -> None:
    with tree("HEAD", tmp_path / "base") as folder:
        assert (folder / "server" / "engine.py").is_file()
    assert not (tmp_path / "base").exists()
    assert str(tmp_path) not in git("worktree", "list").stdout


@pytest.mark.skipif(NO_GIT, reason="not a git checkout")
def test_an_unknown_commit_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(SystemExit, match="nothing-of-that-name cannot be checked out"),
        tree("nothing-of-that-name", tmp_path / "base"),
    ):
        pass
