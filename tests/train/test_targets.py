"""Training rows are serving's rows, and their targets are what serving would have to say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.tasks import Task
from handlers.base import Handler, Prepared
from handlers.load import load_handler
from handlers.tokenization import TextTokenizer
from model_store.derive import derive_manifest
from tests.models import tiny_checkpoint
from tests.train.runs import write_ner, write_qa, write_summary
from train.recipe import Recipe
from train.rows import IGNORED
from train.tasks import training_task
from train.tasks.base import TrainTask
from train.tasks.ner import LabelledSpans
from train.tasks.qa import LabelledQuestion


def prepare(
    folder: Path, task: Task, file: str, architecture: str, max_tokens: int = 128, **model: Any
) -> tuple[TrainTask, list[Any], Handler[Any, Any]]:
    sections = {"model": {"name": "m", "task": task, **model}, "data": {"train": folder / file}}
    job = training_task(Recipe.model_validate(sections))
    examples = job.read(folder / file)
    job.learn_labels(examples)
    checkpoint = tiny_checkpoint(folder / architecture, architecture, task, job.labels or None)
    manifest = derive_manifest(checkpoint, task=task)
    manifest = manifest.model_copy(update={"generation_defaults": job.generation_defaults})
    return job, examples, load_handler(manifest, TextTokenizer.load(checkpoint, max_tokens))


def perfect_outputs(job: TrainTask, rows: list[Any]) -> list[dict[str, Any]]:
    """What a model would put out that has learnt its targets by heart."""
    outputs: list[dict[str, Any]] = []
    for one in rows:
        if "start_positions" in one.targets:
            start, end = np.zeros(len(one.row)), np.zeros(len(one.row))
            start[one.targets["start_positions"]] = end[one.targets["end_positions"]] = 30
            outputs.append({"start_logits": start, "end_logits": end})
            continue
        labels = one.targets["labels"]
        logits = np.zeros((len(labels), max(1, len(job.labels))))
        for token, label in enumerate(labels):
            if label == IGNORED:
                logits[token] = np.nan  # must never be read
            elif len(job.labels) == 1:
                logits[token] = 30 if label else -30
            else:
                logits[token, label] = 30
        outputs.append({"logits": logits})
    return outputs


def answers_by_heart(job: TrainTask, examples: list[Any], handler: Handler[Any, Any]) -> list[Any]:
    answers = []
    for example, item in zip(examples, job.items(examples), strict=True):
        rows = job.rows([example], handler)
        outputs = perfect_outputs(job, rows)
        (prepared,) = handler.preprocess([item])
        assert isinstance(prepared, Prepared)
        if job.task is Task.TOKEN_CLASSIFICATION:
            outputs = [{"logits": np.nan_to_num(one["logits"])} for one in outputs]
        answers.append(handler.postprocess(item, prepared, outputs))
    return answers


def test_learnt_by_heart_entities_score_full_marks(tmp_path: Path) -> None:
    for architecture in ("bert", "roberta", "deberta-v2"):
        job, examples, handler = prepare(
            tmp_path, Task.TOKEN_CLASSIFICATION, write_ner(tmp_path), architecture
        )
        scores = job.score(examples, answers_by_heart(job, examples, handler))
        assert scores["entity_f1"] == 1


def test_learnt_by_heart_entities_of_a_long_text_score_full_marks(tmp_path: Path) -> None:
    job, examples, handler = prepare(
        tmp_path, Task.TOKEN_CLASSIFICATION, write_ner(tmp_path), "bert", max_tokens=24
    )
    text, spans = "", []
    for example in examples:
        spans += [(a + len(text), b + len(text), kind) for a, b, kind in example.spans]
        text += example.text + " "
    long = [LabelledSpans("here", text, tuple(spans))]
    assert len(job.rows(long, handler)) > 5
    assert job.score(long, answers_by_heart(job, long, handler))["entity_f1"] == 1


def test_sub_tokens_continue_an_entity(tmp_path: Path) -> None:
    job, _, handler = prepare(tmp_path, Task.TOKEN_CLASSIFICATION, write_ner(tmp_path), "bert")
    example = LabelledSpans("here", "Honolulu Honolulu", ((0, 8, "LOC"), (9, 17, "LOC")))
    (row,) = job.rows([example], handler)
    names = [job.labels[one] if one != IGNORED else "-" for one in row.targets["labels"]]
    half = (len(names) - 2) // 2
    assert half > 1, "the tiny tokenizer should split the word"
    assert names == ["-", *2 * ["B-LOC", *["I-LOC"] * (half - 1)], "-"]


@pytest.mark.parametrize("labels", [None, ["O", "B-PER", "I-PER", "E-PER", "S-PER"]])
def test_words_are_learnt_by_their_first_sub_token_if_asked_for(
    tmp_path: Path, labels: list[str] | None
) -> None:
    write_ner(tmp_path)
    if labels:
        text = (tmp_path / "train.conll").read_text()
        (tmp_path / "train.conll").write_text(text.replace("LOC", "PER"))
    for architecture in ("bert", "roberta", "deberta-v2"):
        job, examples, handler = prepare(
            *(tmp_path, Task.TOKEN_CLASSIFICATION, "train.conll", architecture),
            subtokens="first",
            labels=labels,
        )
        assert job.score(examples, answers_by_heart(job, examples, handler))["entity_f1"] == 1
    job, _, handler = prepare(
        *(tmp_path, Task.TOKEN_CLASSIFICATION, "train.conll", "bert"),
        subtokens="first",
        labels=labels,
    )
    kind = "PER" if labels else "LOC"
    example = LabelledSpans("here", "Honolulu in Honolulu", ((0, 8, kind),))
    (row,) = job.rows([example], handler)
    names = [job.labels[one] for one in row.targets["labels"] if one != IGNORED]
    assert names == [f"S-{kind}" if labels else f"B-{kind}", "O", "O"]


def test_learnt_by_heart_answers_score_full_marks(tmp_path: Path) -> None:
    for architecture in ("bert", "roberta", "mpnet"):
        job, examples, handler = prepare(
            tmp_path, Task.QUESTION_ANSWERING, write_qa(tmp_path), architecture
        )
        scores = job.score(examples, answers_by_heart(job, examples, handler))
        assert scores == {"exact_match": 1, "f1": 1}


def test_windows_without_the_answer_point_to_the_classification_token(tmp_path: Path) -> None:
    job, _, handler = prepare(
        tmp_path, Task.QUESTION_ANSWERING, write_qa(tmp_path), "bert", max_tokens=48
    )
    context = "the shop opens. " * 20 + "Paris is far. " + "the shop opens. " * 20
    answers = ((context.index("Paris"), "Paris"),)
    question = LabelledQuestion("here", "What is far?", context, answers)
    rows = job.rows([question], handler)
    with_answer = [row for row in rows if row.targets["start_positions"]]
    assert 1 <= len(with_answer) < len(rows)
    assert all(row.targets["end_positions"] == 0 for row in rows if row not in with_answer)
    pieces = {
        handler.tokenizer.raw.decode(
            row.row.input_ids[row.targets["start_positions"] : row.targets["end_positions"] + 1]
        )
        for row in with_answer
    }
    assert pieces == {"paris"}


def test_learnt_by_heart_summaries_score_full_marks(tmp_path: Path) -> None:
    job, examples, handler = prepare(tmp_path, Task.SUMMARIZATION, write_summary(tmp_path), "bert")
    scores = job.score(examples, answers_by_heart(job, examples, handler))
    assert scores["precision"] == scores["rouge1"] == 1


def test_marks_follow_sentences_that_serving_splits_otherwise(tmp_path: Path) -> None:
    row = {"sentences": ["It rains. We stay at home.", "The sun shines."], "labels": [1, 0]}
    (tmp_path / "one.jsonl").write_text(json.dumps(row))
    job, examples, handler = prepare(tmp_path, Task.SUMMARIZATION, "one.jsonl", "bert")
    (labelled,) = job.rows(examples, handler)
    learnt = zip(labelled.targets["sentences"], labelled.targets["labels"], strict=True)
    assert sorted(set(learnt)) == [(0, 1), (1, 1), (2, 0)]
