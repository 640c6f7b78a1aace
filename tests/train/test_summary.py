"""What is learnt of a summary: the mean logit of each sentence, where serving reads it."""

import json
from pathlib import Path

import pytest
import torch

from contracts.tasks import Task
from handlers.summarization import SummarizationHandler
from handlers.tokenization import TextTokenizer
from model_store.manifest import Manifest
from tests.models import tiny_tokenizer
from tests.train.runs import write_recipe, write_summary
from train.recipe_file import load_recipe
from train.rows import IGNORED, collate
from train.tasks import training_task
from train.tasks.summary import MarkedText, SummaryTraining

MAX_TOKENS = 80


@pytest.fixture
def job(tmp_path: Path) -> SummaryTraining:
    path = write_recipe(tmp_path, "summary", write_summary(tmp_path))
    task = training_task(load_recipe(path))
    assert isinstance(task, SummaryTraining)
    return task


@pytest.fixture
def handler(tmp_path: Path) -> SummarizationHandler:
    tiny_tokenizer(tmp_path, "bert")
    manifest = Manifest(
        task=Task.SUMMARIZATION,
        architecture="BertForTokenClassification",
        labels=["keep"],
        max_tokens=MAX_TOKENS,
    )
    return SummarizationHandler(manifest, TextTokenizer.load(tmp_path, MAX_TOKENS))


def example(marks: str) -> MarkedText:
    """A text with a sentence per letter; ``x`` marks one that is to be kept."""
    sentences = tuple(f"Number {index} is the sentence here." for index in range(len(marks)))
    marked = frozenset(index for index, mark in enumerate(marks) if mark == "x")
    worth = tuple(float(mark == "x") for mark in marks)
    reference = " ".join(sentences[index] for index in marked)
    return MarkedText("here", sentences, marked, worth, reference)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_that_of_each_sentences_mean_logit(
    job: SummaryTraining, handler: SummarizationHandler, smoothing: float
):
    examples = [example("x--x--x-"), example("-x")]
    rows = job.rows(examples, handler)
    assert len(rows) > 2, "the first text needs several rows"
    batch = collate(rows, pad_id=0, max_tokens=MAX_TOKENS, per_token=True, token_types=False)
    logits = torch.randn(*batch["input_ids"].shape, 1, generator=torch.manual_seed(3))
    loss = job.loss({"logits": logits}, batch, smoothing)

    expected = []
    outputs = iter(logits)
    for one, prepared in zip(examples, handler.preprocess(job.items(examples)), strict=True):
        mine = [next(outputs) for _ in prepared.rows]
        for index, place in enumerate(prepared.context.places):
            score = mine[place.row][place.start : place.end].mean()
            wanted = float(index in one.marked) * (1 - smoothing) + smoothing / 2
            expected.append(
                torch.nn.functional.binary_cross_entropy_with_logits(score, torch.tensor(wanted))
            )
    assert len(expected) == 10
    assert loss == pytest.approx(float(torch.stack(expected).mean()))


def test_a_sentence_in_two_rows_is_learnt_once(job: SummaryTraining, handler: SummarizationHandler):
    (one,) = handler.preprocess(job.items([example("x--x--x-")]))
    targets = job.targets(example("x--x--x-"), one, handler.tokenizer)
    learnt = [set(each["sentences"]) - {IGNORED} for each in targets]
    assert sum(map(len, learnt)) == 8
    held = sum(len(row) for row in one.rows)
    assert sum(token != IGNORED for each in targets for token in each["sentences"]) < held


def test_a_mark_is_learnt_as_it_is_and_a_persons_summary_by_what_each_sentence_has_of_it(
    job: SummaryTraining, handler: SummarizationHandler, tmp_path: Path
):
    sentences = ["Refunds take one week.", "The office is closed.", "Refunds are paid back."]
    path = tmp_path / "rows.jsonl"

    def learnt(**row: object) -> list[float]:
        path.write_text(json.dumps({"sentences": sentences, **row}))
        (one,) = job.read(path)
        (prepared,) = handler.preprocess(job.items([one]))
        (targets,) = job.targets(one, prepared, handler.tokenizer)
        return [targets["labels"][place.start] for place in prepared.context.places]

    assert learnt(labels=[1, 0, 1]) == [1, 0, 1]
    best, none, some = learnt(summary="Refunds take one week.")
    assert (best, none) == (1, 0)
    # Not marked; alone it has one word of four, and no pair: an eighth of the best one's.
    assert some == pytest.approx(1 / 16)


def test_a_sentence_that_serving_splits_elsewhere_is_worth_the_mean_of_its_parts(
    job: SummaryTraining, handler: SummarizationHandler
):
    one = MarkedText("here", ("It was Mr.", "Cay in Rome."), frozenset([0]), (1.0, 0.0), "It")
    (prepared,) = handler.preprocess(job.items([one]))
    (targets,) = job.targets(one, prepared, handler.tokenizer)
    assert len(prepared.context.spans) == 1
    assert targets["labels"] == pytest.approx([10 / 23] * len(prepared.rows[0]))
