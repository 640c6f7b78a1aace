"""The pipeline's promises: masked padding, order kept, answers that do not depend on company."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import ServingError
from contracts.schemas import ClassificationBody
from contracts.tasks import Task
from contracts.tensors import Tensors
from handlers.classification import ClassificationHandler
from handlers.pipeline import Pipeline
from handlers.tokenization import TextTokenizer
from model_store.manifest import Manifest
from tests.models import MAX_TOKENS, tiny_checkpoint


class Watching:
    """A backend that keeps its inputs and answers with a number made of the unmasked ids."""

    name, precision, device, bytes = "watching", "fp32", "cpu", 0
    batchable = True
    input_names = frozenset({"input_ids", "attention_mask", "token_type_ids"})

    def __init__(self) -> None:
        self.seen: list[Tensors] = []

    def run(self, inputs: Tensors) -> Tensors:
        self.seen.append(inputs)
        total = (inputs["input_ids"] * inputs["attention_mask"]).sum(axis=1)
        types = inputs["token_type_ids"].sum(axis=1)
        return {"logits": np.stack([total % 13, total % 7, types], axis=1).astype(np.float32)}

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("b"), "bert", Task.TEXT_CLASSIFICATION)


@pytest.fixture
def pipeline(checkpoint: Path) -> Pipeline:
    manifest = Manifest(
        task=Task.TEXT_CLASSIFICATION,
        architecture="BertForSequenceClassification",
        labels=["a", "b", "c"],
        max_tokens=MAX_TOKENS,
    )
    tokenizer = TextTokenizer.load(checkpoint, MAX_TOKENS)
    return Pipeline(ClassificationHandler(manifest, tokenizer), Watching())


def items(*inputs: Any, **parameters: Any) -> list[Any]:
    return list(ClassificationBody(inputs=list(inputs), parameters=parameters).items())


TEXTS = ["refund", "the parcel " * 8, "thank you", "quick brown fox " * 7, "order"]


def test_answers_come_in_order_and_as_alone(pipeline: Pipeline):
    together = pipeline(items(*TEXTS))
    assert together == [pipeline(items(text))[0] for text in TEXTS]
    assert len({str(answer) for answer in together}) > 2


def test_padding_is_masked_and_filled_with_the_pad_id(pipeline: Pipeline):
    pipeline(items(*TEXTS))
    tokenizer = pipeline.handler.tokenizer
    lengths = sorted(len(encoding) + 2 for encoding in tokenizer.encode(TEXTS))
    seen: list[int] = []
    for inputs in pipeline.backend.seen:  # type: ignore[attr-defined]
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        assert ids.dtype == mask.dtype == np.int64
        seen += mask.sum(axis=1).tolist()
        assert (ids[mask == 0] == tokenizer.pad_id).all()
        assert (np.diff(mask, axis=1) <= 0).all()
    assert sorted(seen) == lengths


def test_a_pair_reaches_the_backend_with_its_token_types(pipeline: Pipeline):
    pipeline(items({"text": "the parcel", "text_pair": "thank you"}))
    inputs = pipeline.backend.seen[0]  # type: ignore[attr-defined]
    second = len(pipeline.handler.tokenizer.encode(["thank you"])[0]) + 1
    assert inputs["token_type_ids"].sum() == second


def test_an_error_keeps_its_place_among_answers(pipeline: Pipeline):
    answers = pipeline(items("refund", "the parcel " * 100, "thank you"))
    assert [isinstance(answer, ServingError) for answer in answers] == [False, True, False]
    assert answers[2] == pipeline(items("thank you"))[0]


def test_a_small_budget_changes_no_answer(pipeline: Pipeline):
    assert pipeline(items(*TEXTS), max_batch_tokens=1) == pipeline(items(*TEXTS))


def test_parameters_of_one_item_never_reach_another(pipeline: Pipeline):
    mixed = items("refund", top_k=1) + items("refund", top_k=3, function_to_apply="none")
    first, second = pipeline(mixed)
    assert (len(first), len(second)) == (1, 3)
    assert first == pipeline(items("refund", top_k=1))[0]


def test_rows_run_alone_where_the_backend_would_let_company_show(pipeline: Pipeline) -> None:
    together = pipeline(items(*TEXTS))
    backend = pipeline.backend
    assert isinstance(backend, Watching)
    backend.seen.clear()
    backend.batchable = False  # as a dynamically quantised graph is
    assert pipeline(items(*TEXTS)) == together
    assert [len(one["input_ids"]) for one in backend.seen] == [1] * len(TEXTS)
