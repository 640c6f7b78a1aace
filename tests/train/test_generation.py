"""Training of models that write: what they learn from, and that they learn it to the last word."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import normalizers
from transformers.trainer_pt_utils import LabelSmoother

from contracts.errors import CheckpointError, InvalidRequest
from contracts.generation import GenerationItem, GenerationParameters
from contracts.tasks import Task
from handlers.generation import GenerationHandler
from handlers.load import load_pipeline
from handlers.tokenization import TextTokenizer
from model_store.backends.base import BackendChoice
from model_store.derive import derive_manifest
from model_store.version import ModelVersion
from tests.copy_and_reverse import pairs
from tests.seq2seq_models import tiny_seq2seq, tiny_seq2seq_model
from tests.train.runs import WRITERS, run, tiny_base, write_recipe
from train.optimizers import make_optimizer
from train.plan import plan
from train.recipe import Data, Optim, Recipe
from train.recipe_file import load_recipe
from train.recipe_model import Model
from train.rows import LabelledRow, collate
from train.tasks import training_task
from train.tasks.generation import Pair, answered, cut, target_ids

NO_ONNX = ("artifacts.onnx_fp32=false", "artifacts.onnx_int8=false")
UNSEEN = 200


def job_of(kind: str = "text2text-generation", **model: Any) -> Any:
    settings = {"name": "m", "task": "generation", "kind": kind, **model}
    return training_task(Recipe(model=Model.model_validate(settings), data=Data(train=Path("x"))))


def handler_of(folder: Path, max_tokens: int, **defaults: Any) -> GenerationHandler:
    manifest = derive_manifest(folder)
    known = {**manifest.generation_defaults, **defaults}
    manifest = manifest.model_copy(update={"generation_defaults": known})
    return GenerationHandler(manifest, TextTokenizer.load(folder, max_tokens))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """From random weights to a published version, by a recipe; some ten seconds of one core."""
    folder = tmp_path_factory.mktemp("learnt")
    WRITERS["generation"](folder)
    for name, count, seed in (("train", 5000, 7), ("test", UNSEEN, 8)):
        rows = [{"source": a, "target": b} for a, b in pairs(count, seed=seed, longest=4)]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    more = 'test = "test.jsonl"\ndev_share = 0.02'
    recipe = write_recipe(
        folder, "generation", "train.jsonl", more, lr=5e-3, epochs=4, batch_rows=64
    )
    return run(recipe, folder / "store", *NO_ONNX)


@pytest.fixture(scope="module")
def compressed(learnt: ModelVersion, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """The same, trained on, with every artifact."""
    folder = tmp_path_factory.mktemp("compressed")
    recipe = write_recipe(folder, "generation", WRITERS["generation"](folder), lr=1e-5, epochs=1)
    return run(recipe, folder / "store", f"model.base={learnt.folder}", "data.dev_share=0.5")


def test_a_model_learns_to_copy_and_to_reverse_without_a_mistake(learnt: ModelVersion) -> None:
    report = json.loads((learnt.folder / "report.json").read_text())
    assert report["scores"]["test"]["exact"] == 1.0
    assert report["scores"]["test"]["rougeL"] == 1.0
    assert report["baselines"].keys() == {"copy"}
    assert report["baselines"]["copy"]["exact"] == 0.0
    assert report["training"]["curves"][-1]["exact"] == 1.0
    assert report["findings"]["worst"] == []
    assert len(report["findings"]["ordinary"]) == 5
    assert report["findings"]["confusion"] == report["findings"]["calibration"] == {}


@pytest.mark.e2e
def test_every_artifact_answers_alike_alone_and_in_a_batch(compressed: ModelVersion) -> None:
    report = json.loads((compressed.folder / "report.json").read_text())
    kinds = [(one["format"], one["precision"]) for one in report["artifacts"]]
    assert kinds == [("torch", "fp32"), ("onnx", "fp32"), ("onnx", "int8")]
    for one in report["artifacts"]:
        assert one["verified"], one["reasons"]
        assert one["agreement"] == 1.0
        assert one["company"] == {"items": 12, "changed": 0, "difference": 0.0}
        assert one["tokens_per_s"] > one["items_per_s"]
        assert one["calibration"] is None
    assert {one.path for one in compressed.manifest.artifacts} == {
        *("model.safetensors", "onnx/decoder.onnx", "onnx/decoder_int8.onnx")
    }
    for format, precision in (("torch", "fp32"), ("onnxruntime", "int8")):
        choice = BackendChoice(format, precision, "cpu")  # type: ignore[arg-type]
        pipeline = load_pipeline(compressed, choice)
        asked = pairs(20, seed=9, longest=4)
        items: list[Any] = [GenerationItem(text, GenerationParameters()) for text, _ in asked]
        told = [one["generated_text"] for one in pipeline(items)]  # type: ignore[index]
        pipeline.close()
        assert told == [right for _, right in asked]


def test_the_pages_show_written_answers_and_no_labels(learnt: ModelVersion) -> None:
    page = (learnt.folder / "report.html").read_text()
    assert "Ordinary answers" in page
    assert "tokens/s" in page
    assert "same in a batch" in page
    for absent in ("Labels in the training part", "Confusion matrix", "Calibration"):
        assert absent not in page
    text = (learnt.folder / "report.md").read_text()
    assert "answers equal alone and in a batch" in text
    assert "training examples |" not in text


@pytest.mark.parametrize("architecture", ["bart", "t5", "bert2bert"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_transformers(architecture: str, smoothing: float) -> None:
    model = tiny_seq2seq_model(architecture)
    rows = [
        LabelledRow(_row([5, 6, 7, 8]), {"labels": [9, 10, 2]}),
        LabelledRow(_row([11, 12]), {"labels": [13, 14, 15, 16, 2]}),
    ]
    batch = collate(
        rows, pad_id=1, max_tokens=64, per_token=True, token_types=False, own_length=True
    )
    assert batch["labels"].tolist() == [[9, 10, 2, -100, -100], [13, 14, 15, 16, 2]]
    job = job_of()
    given = job.inputs(model, batch)
    # The decoder reads each right token one step after it was to be written.
    assert given["decoder_input_ids"].tolist() == [[0, 9, 10, 2, 1], [0, 13, 14, 15, 16]]
    outputs = model(**given)
    loss = job.loss(outputs, batch, smoothing)
    expected = LabelSmoother(epsilon=smoothing)({"logits": outputs.logits}, batch["labels"])
    torch.testing.assert_close(loss, expected)


def test_an_answer_ends_with_its_end_and_begins_with_what_is_forced(tmp_path: Path) -> None:
    folder = tiny_seq2seq(tmp_path, "bart")
    assert target_ids([7, 8], handler_of(folder, 64)) == [7, 8, 2]
    assert target_ids([7], handler_of(folder, 64, forced_bos_token_id=5)) == [5, 7, 2]
    assert target_ids([7], handler_of(folder, 64, eos_token_id=[4, 2])) == [7, 4]
    assert cut([7, 8, 9, 2], 3) == [7, 8, 2]
    with pytest.raises(CheckpointError, match="names no eos_token_id"):
        target_ids([7], handler_of(folder, 64, eos_token_id=None))


def test_long_sources_and_answers_are_cut_and_counted(tmp_path: Path) -> None:
    handler = handler_of(tiny_base(tmp_path, "generation"), 8)
    job = job_of(max_target_tokens=5)
    words = "apple bread chair dance eagle flute grape house"
    rows = job.rows([Pair("x, line 1", words, words), Pair("x, line 2", "apple", "bread")], handler)
    assert [len(row) for row in rows] == [8, 3]
    assert [len(row.targets["labels"]) for row in rows] == [5, 2]
    assert [row.targets["labels"][-1] for row in rows] == [2, 2]
    assert [job.length(row) for row in rows] == [13, 5]
    assert job.notes == {"sources cut in training": 1, "answers cut in training": 1}


def test_rows_are_those_that_serving_reads(tmp_path: Path) -> None:
    handler = handler_of(tiny_base(tmp_path, "generation"), 64, prefix="copy ")
    (row,) = job_of().rows([Pair("x", "apple bread", "bread")], handler)
    (served,) = handler.preprocess([GenerationItem("apple bread", GenerationParameters())])
    assert row.row == served.rows[0]  # type: ignore[union-attr]
    assert row.row.input_ids[1] == 4  # the prefix


def test_dev_is_answered_in_part(tmp_path: Path) -> None:
    settings = {"name": "m", "task": "generation"}
    recipe = Recipe(
        model=Model.model_validate(settings), data=Data(train=Path("x"), dev_generations=3)
    )
    job = training_task(recipe)
    dev = [Pair(str(index), "a", "b") for index in range(10)]
    assert job.watched(dev) == job.watched(dev)
    assert len(job.watched(dev)) == 3
    assert len(job.watched(dev[:2])) == 2


def test_the_nearest_of_several_answers_counts() -> None:
    example = Pair("x", "source", "the cat sat", ("a dog ran away",))
    job = job_of("summarization")
    scores = job.score([example], [answered("a dog ran away")])
    assert scores == {"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0, "exact": 1.0}
    assert job.score([example], [answered("the cat")])["rouge1"] == pytest.approx(0.8)
    assert job.score([example], [InvalidRequest("no")])["rougeL"] == 0.0
    spoken = job_of("translation").score([example], [answered("a dog ran away")])
    assert spoken == {"chrf": 1.0, "exact": 1.0}


def test_summaries_are_compared_with_the_first_sentences() -> None:
    text = "One is here. Two is there. Three is gone. Four is new."
    found = job_of("summarization").baselines([], [Pair("x", text, "y")])
    assert {name: one[0]["summary_text"] for name, one in found.items()} == {
        "lead-3": "One is here. Two is there. Three is gone.",
        "lead-1": "One is here.",
    }
    assert next(iter(found)) == "lead-3"  # the one that a model must beat
    (copied,) = job_of("translation").baselines([], [Pair("x", text, "y")])["copy"]
    assert copied["translation_text"] == text


@pytest.mark.parametrize(
    ("kind", "task", "metric"),
    [
        ("summarization", Task.SUMMARIZATION, "rougeL"),
        ("translation", Task.TRANSLATION, "chrf"),
        ("text2text-generation", Task.TEXT2TEXT_GENERATION, "rougeL"),
    ],
)
def test_the_kind_decides_the_published_task(
    kind: str, task: Task, metric: str, tmp_path: Path
) -> None:
    job = job_of(kind)
    assert (job.task, job.metric) == (task, metric)
    assert job.config == {"tuneserve_task": str(task)}
    base = tiny_base(tmp_path, "generation")
    model = job.load(Model.model_validate({"name": "m", "task": "generation", "base": str(base)}))
    model.save_pretrained(tmp_path)
    assert derive_manifest(tmp_path).task is task


def test_new_weights_may_move_faster(tmp_path: Path) -> None:
    base = str(tiny_base(tmp_path / "base"))
    section = {"name": "m", "task": "generation", "base": base, "decoder": base}
    model = job_of().load(Model.model_validate(section))
    names = {id(value): name for name, value in model.named_parameters()}

    def rates(optim: Optim) -> dict[float, set[str]]:
        groups = make_optimizer(model, optim, set(names.values())).param_groups
        return {
            rate: {
                names[id(one)] for each in groups if each["lr"] == rate for one in each["params"]
            }
            for rate in {each["lr"] for each in groups}
        }

    found = rates(Optim(lr=1e-3, new_lr_factor=4))
    assert found.keys() == {1e-3, 4e-3}
    assert all("crossattention" in one or "cls.predictions" in one for one in found[4e-3])
    assert sum("crossattention" in one for one in found[4e-3]) == 2 * 10
    assert not any("crossattention" in one for one in found[1e-3])
    assert rates(Optim(lr=1e-3)).keys() == {1e-3}


def test_a_plan_foretells_rows_and_steps(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path, "generation", WRITERS["generation"](tmp_path), epochs=1, batch_tokens=64
    )
    told = plan(load_recipe(recipe, NO_ONNX))
    version = run(recipe, tmp_path / "store", *NO_ONNX)
    report = json.loads((version.folder / "report.json").read_text())
    assert told["steps"] == report["training"]["steps"] > 3
    for key in ("rows", "labels", "tokens_per_text", "texts_longer_than_a_row", "notes"):
        assert told[key] == report["data"][key]
    assert told["long_texts"] == "cut"
    assert told["memory_bytes"]["weights"] == 16 * sum(
        one.numel() for one in job_of().load(load_recipe(recipe).model).parameters()
    )


BAD = {
    "no answer": ('{"source": "a"}', 'there is no column "target"'),
    "an empty answer": ('{"source": "a", "target": " "}', 'column "target" must be text that is'),
    "no text": ('{"source": 3, "target": "b"}', 'column "source" must be text that is not empty'),
    "an empty list": ('{"source": [], "target": "b"}', 'column "source" must be text that is not'),
    "numbers": ('{"source": ["a", 3], "target": "b"}', "must be a text or a list of sentences"),
    "an answer that is empty": ('{"source": "a", "target": ["b", ""]}', 'column "target" must be'),
    "no JSON": ('{"source": ', "not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_broken_row_is_refused_with_file_and_line(name: str, tmp_path: Path) -> None:
    line, reason = BAD[name]
    path = tmp_path / "train.jsonl"
    path.write_text('{"source": "a", "target": "b"}\n' + line + "\n")
    with pytest.raises(CheckpointError) as caught:
        job_of().read(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert reason in str(caught.value)


def test_a_source_without_a_token_is_refused_with_its_line(tmp_path: Path) -> None:
    handler = handler_of(tiny_base(tmp_path, "generation"), 64)
    handler.tokenizer.raw.normalizer = normalizers.Replace("a", " ")
    with pytest.raises(CheckpointError, match=r"^x, line 4: .*no character"):
        job_of().rows([Pair("x, line 4", "a", "b")], handler)


def test_sentences_and_several_answers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"source": ["One.", "Two."], "target": ["first", "second"]}')
    (example,) = job_of().read(path)
    assert example.text == "One. Two."
    assert example.target == "first"
    assert example.references == ("first", "second")
    (tmp_path / "train.csv").write_text("source,target\na b,c\n")
    (example,) = job_of().read(tmp_path / "train.csv")
    assert (example.text, example.target, example.others) == ("a b", "c", ())


def test_the_vocabulary_from_scratch_knows_sources_and_answers() -> None:
    assert list(job_of().vocabulary([Pair("x", "a", "b"), Pair("x", "c", "d")])) == list("abcd")


def _row(ids: list[int]) -> Any:
    from handlers.tokenization import Row

    return Row(ids, [0] * len(ids))
