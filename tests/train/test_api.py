"""The Python API: the same runs as the command's, one call per step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import train
from contracts.errors import CheckpointError
from tests.train.runs import run, tiny_base, write_classification, write_recipe

TINY = {"lr": 2e-3, "batch_rows": 8, "bf16": False, "onnx_fp32": False, "onnx_int8": False}
NO_GAIN = {"gates.min_gain": -1000}
"""For a handful of held-out examples, which cannot show that a model beats the commonest answer."""


def examples(count: int = 40) -> list[tuple[str, str]]:
    return [
        (f"please, my {('refund', 'parcel')[index % 2]} {index}", ("money", "delivery")[index % 2])
        for index in range(count)
    ]


def test_four_lines_from_examples_to_a_published_version(tmp_path: Path) -> None:
    base = str(tiny_base(tmp_path / "base"))
    p = train.pipeline("classification", base=base, epochs=12, quiet=True, **TINY)
    p.fit(examples())
    assert p.evaluate(examples(60)[40:])["accuracy"] > 0.9
    version = p.publish("intent", store=tmp_path / "store")
    assert version.id == "intent@1"
    assert version.aliases == ("production",)
    assert p.publish("intent", store=tmp_path / "store", alias=None).aliases == ()
    report = json.loads((version.folder / "report.json").read_text())
    assert report["name"] == "intent"
    assert report["command"].startswith("train.pipeline('classification', base=")
    assert report["recipe_sha256"] == version.manifest.recipe_sha256
    assert p.scores == version.manifest.scores == report["scores"]["dev"]
    assert "<h1>intent</h1>" in (version.folder / "report.html").read_text()


def test_the_command_and_the_api_make_the_same_weights(tmp_path: Path) -> None:
    path = tmp_path / write_classification(tmp_path)
    recipe = write_recipe(tmp_path, "classification", path.name, epochs=1)
    plain = ("artifacts.onnx_fp32=false", "artifacts.onnx_int8=false")
    one = run(recipe, tmp_path / "one", *plain)
    p = train.pipeline("classification", base=str(tmp_path / "base"), epochs=1, quiet=True, **TINY)
    other = p.fit(path).publish("tiny", store=tmp_path / "two")
    assert one.manifest.artifacts[0].sha256 == other.manifest.artifacts[0].sha256


@pytest.mark.parametrize(
    ("task", "data"),
    [
        (
            "ner",
            [{"tokens": ["Ann", "sings"], "tags": ["B-PER", "O"]}] * 8,
        ),
        (
            "qa",
            [
                {
                    "question": "Where?",
                    "context": "In Paris.",
                    "answers": [{"text": "Paris", "answer_start": 3}],
                },
                {"question": "Who?", "context": "In Paris."},
            ]
            * 4,
        ),
        ("summary", [{"sentences": ["One is here.", "Two is not."], "labels": [1, 0]}] * 8),
    ],
)
def test_every_task_takes_examples_as_dictionaries(
    task: str, data: list[dict[str, object]], tmp_path: Path
) -> None:
    base = str(tiny_base(tmp_path / "base"))
    p = train.pipeline(task, base=base, epochs=1, quiet=True, **TINY, **NO_GAIN)
    p.fit(data, dev=data, test=data)
    assert p.evaluate(data) == pytest.approx(p.scores)
    assert p.report["data"]["test"] == 8


def test_mistakes_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    for settings, reason in (
        ({"epoch": 3}, 'did you mean "epochs"'),
        ({"lr": -1}, "optim.lr is -1"),
        ({"optim.rate": 1}, "has no key"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            train.pipeline("classification", **settings)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"model\.task is 'chat'"):
        train.pipeline("chat")
    p = train.pipeline("classification", quiet=True)
    with pytest.raises(CheckpointError, match=r"call fit\(data\) first"):
        p.evaluate(examples())
    with pytest.raises(CheckpointError, match=r"call fit\(data\) first"):
        p.publish("intent", store=tmp_path)
    with pytest.raises(CheckpointError, match=r"train\[1\]: an example is a pair"):
        p.fit([("a", "b"), "c"])
    with pytest.raises(CheckpointError, match="There is no file"):
        p.fit(tmp_path / "none.csv")


def test_importing_train_loads_no_framework() -> None:
    code = (
        "import sys, train; assert callable(train.__getattr__); "
        "assert not {'torch', 'transformers', 'pydantic', 'rich'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
