import json
from pathlib import Path

import pytest

from contracts.schemas import BODIES
from handlers.load import load_pipeline
from model_store.backends.base import BackendChoice
from tests.train.runs import WRITERS, run, write_recipe

INPUTS = {
    "classification": "please, my refund number 5",
    "ner": "Angela visited New York and Paris.",
    "qa": {"question": "Where was Angela?", "context": "Angela visited Paris in summer."},
    "summary": "The shop is open. The refund of 3 went to Paris. My parcel waits in Berlin.",
}


@pytest.mark.parametrize("task", WRITERS)
def test_every_task_trains_to_a_published_version_that_answers(task: str, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, task, WRITERS[task](tmp_path))
    version = run(
        recipe, tmp_path / "store", "gates.max_score_loss=100", "gates.max_label_flips=100"
    )

    assert version.id == "tiny@1"
    assert version.aliases == ("production",)
    kinds = [(one.format, one.precision) for one in version.manifest.artifacts]
    assert kinds == [("torch", "fp32"), ("onnx", "fp32"), ("onnx", "int8")]
    assert all(one.verified for one in version.manifest.artifacts)
    body = BODIES[version.manifest.task].model_validate({"inputs": INPUTS[task]})
    for artifact, backend in (("fp32", "torch"), ("int8", "onnxruntime")):
        choice = BackendChoice(backend=backend, precision=artifact, device="cpu")  # type: ignore[arg-type]
        pipeline = load_pipeline(version, choice)
        (answer,) = pipeline(body.items())
        pipeline.close()
        assert isinstance(answer, dict | list), answer
    report = json.loads((version.folder / "report.json").read_text())
    assert len(report["training"]["curves"]) == 2
    assert "baseline" in (version.folder / "report.md").read_text()
