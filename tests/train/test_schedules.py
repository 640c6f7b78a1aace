"""Schedules: the curves of transformers, one of our own, and another pace half-way."""

from typing import Any

import pytest
import torch
from transformers import get_scheduler

from train.recipe import Optim
from train.schedules import Schedule


@pytest.mark.parametrize("name", ["linear", "cosine", "constant_with_warmup", "polynomial"])
def test_curves_are_those_of_transformers(name: str) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    own: dict[str, Any] = {"power": 2.0, "lr_end": 0.0} if name == "polynomial" else {}
    theirs = get_scheduler(name, optimizer, 3, 20, scheduler_specific_kwargs=own)
    ours = Schedule(Optim(schedule=name), 20, 3)
    for step in range(21):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()


def test_the_step_schedule_falls_at_the_end_of_epochs() -> None:
    schedule = Schedule(Optim(schedule="step", epochs=4, step_epochs=2, step_factor=0.1), 12, 0)
    assert [round(schedule(step), 6) for step in (0, 5, 6, 11)] == [1, 1, 0.1, 0.1]


def test_another_pace_goes_on_where_the_curve_was_and_still_ends_at_zero() -> None:
    schedule = Schedule(Optim(), 10, 0)
    assert schedule(5) == 0.5
    schedule.replan(5, 10)
    assert schedule(5) == 0.5
    assert schedule(10) == pytest.approx(0.25)
    assert schedule(15) == 0
