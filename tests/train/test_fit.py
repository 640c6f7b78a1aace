"""The engine on a tiny encoder: optimisers, rates per layer, frozen layers, class weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from contracts.errors import CheckpointError
from tests.train.engine import fit_tiny
from train.recipe import Optim
from train.recipe_file import load_recipe


@pytest.mark.parametrize(
    ("name", "lr"), [("adamw", 2e-3), ("adam", 2e-3), ("sgd", 0.05), ("adafactor", 2e-3)]
)
def test_every_optimiser_learns(name: str, lr: float, tmp_path: Path) -> None:
    done = fit_tiny(tmp_path, f"optim.name={name}", lr=lr, epochs=8)
    losses = [epoch["loss"] for epoch in done.fitted.curves]
    assert losses[-1] < losses[0] / 2
    assert done.fitted.best == 1


def test_weight_decay_and_momentum_reach_the_optimiser(tmp_path: Path) -> None:
    from train.optimizers import make_optimizer

    done = fit_tiny(tmp_path, epochs=0.2)
    names = [name for name, _ in done.model.named_parameters()]
    optim = Optim(name="sgd", momentum=0.3, weight_decay=0.5)
    groups = make_optimizer(done.model, optim, names[:1]).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [
        (1, 0.5),
        (len(names) - 1, 0.0),
    ]
    assert {group["momentum"] for group in groups} == {0.3}


def test_layer_decay_gives_every_layer_its_rate(tmp_path: Path) -> None:
    from train.optimizers import make_optimizer

    done = fit_tiny(tmp_path, "optim.layer_decay=0.5", epochs=1)
    optimizer = make_optimizer(done.model, Optim(lr=1.0, layer_decay=0.5), ())
    rates = {
        id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]
    }
    found: dict[str, Any] = {name: rates[id(one)] for name, one in done.model.named_parameters()}
    assert found["classifier.weight"] == 1
    assert found["bert.encoder.layer.1.output.dense.weight"] == 0.5
    assert found["bert.encoder.layer.0.output.dense.weight"] == 0.25
    assert found["bert.embeddings.word_embeddings.weight"] == 0.125
    assert "classifier.weight" in done.moved()


def test_frozen_layers_do_not_move_and_the_others_do(tmp_path: Path) -> None:
    moved = fit_tiny(tmp_path, "model.freeze=embeddings, encoder.0", epochs=1).moved()
    assert not any("embeddings" in name or "layer.0." in name for name in moved)
    assert any("layer.1." in name for name in moved)


def test_class_weights_balance_the_loss_or_follow_a_table(tmp_path: Path) -> None:
    from tests.train.runs import write_classification, write_recipe
    from train.rows import LabelledRow
    from train.tasks import training_task

    path = write_recipe(tmp_path, "classification", write_classification(tmp_path))
    rows = [LabelledRow(None, {"labels": int(i < 3)}) for i in range(4)]  # type: ignore[arg-type]
    outputs = {"logits": torch.zeros(2, 2)}
    targets = {"labels": torch.tensor([0, 1])}
    for wish, expected in (('"balanced"', [2, 2 / 3]), ("{money = 3}", [1, 3])):
        job = training_task(load_recipe(path, [f"optim.class_weights={wish}"]))
        job.learn_labels(job.read(tmp_path / "train.csv"))
        job.weigh(rows)
        assert job.class_weights == pytest.approx(expected)
        outputs["logits"] = torch.tensor([[5.0, 0.0], [5.0, 0.0]])
        right, wrong = torch.nn.functional.cross_entropy(
            outputs["logits"], targets["labels"], reduction="none"
        )
        a, b = expected
        assert job.loss(outputs, targets, 0.0) == pytest.approx(
            float(a * right + b * wrong) / (a + b)
        )


def test_tags_of_tokens_are_weighed_and_what_is_not_labelled_counts_nowhere(tmp_path: Path) -> None:
    from tests.train.runs import write_ner, write_recipe
    from train.rows import IGNORED, LabelledRow
    from train.tasks import training_task

    path = write_recipe(tmp_path, "ner", write_ner(tmp_path))
    rows = [LabelledRow(None, {"labels": [IGNORED, 0, 0, 0, 1]})]  # type: ignore[arg-type]
    outputs = {}
    targets = {"labels": torch.tensor([[IGNORED, 0, 1]])}
    for wish, o in (('"balanced"', 4 / 2 / 3), ("{O = 0.5}", 0.5)):
        job = training_task(load_recipe(path, [f"optim.class_weights={wish}"]))
        job.learn_labels(job.read(tmp_path / "train.conll"))
        outputs["logits"] = torch.eye(3, len(job.labels))[None]
        job.weigh(rows)
        assert job.class_weights is not None
        assert job.class_weights[0] == pytest.approx(o)
        of_o, of_b = torch.nn.functional.cross_entropy(
            outputs["logits"][0, 1:], targets["labels"][0, 1:], reduction="none"
        )
        b = job.class_weights[1]
        assert job.loss(outputs, targets, 0.0) == pytest.approx(
            float(o * of_o + b * of_b) / (o + b)
        )


@pytest.mark.parametrize(
    ("task", "setting", "reason"),
    [
        ("classification", "{mony = 2}", r'no label "mony"; did you mean "money"\?'),
        ("ner", "{B-PERSON = 2}", 'no label "B-PERSON"; did you mean'),
        ("qa", '"balanced"', "one label per text, or one tag per token"),
    ],
)
def test_class_weights_that_fit_nothing_are_refused(
    task: str, setting: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=reason):
        fit_tiny(tmp_path, f"optim.class_weights={setting}", task=task)
