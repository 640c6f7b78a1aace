"""The wire's shapes: what is accepted, what is refused, and how answers are put together."""

import pytest
from pydantic import ValidationError

from contracts.bodies import BODIES, bodies_of, body_for
from contracts.embeddings import EmbeddingBody, SimilarityBody
from contracts.fill_mask import FillMaskBody
from contracts.generation import GenerationBody
from contracts.schemas import (
    Body,
    ClassificationBody,
    ClassificationItem,
    NerBody,
    QaBody,
    SummaryBody,
    inputs_of,
    texts_of,
)
from contracts.tasks import GENERATION_TASKS, Task
from contracts.zero_shot import ZeroShotBody

INPUTS: dict[type[Body], object] = {
    ClassificationBody: "good",
    NerBody: "Ada lives in Rome",
    QaBody: {"question": "where?", "context": "in Rome"},
    SummaryBody: "One. Two.",
    GenerationBody: "One. Two.",
    EmbeddingBody: "good",
    SimilarityBody: {"source_sentence": "good", "sentences": ["bad", "better"]},
    ZeroShotBody: "good",
    FillMaskBody: "[MASK]",
}
ASKED: dict[type[Body], dict[str, object]] = {ZeroShotBody: {"candidate_labels": ["a", "b"]}}
"""Parameters without which a body is none."""
every_body = pytest.mark.parametrize("schema", INPUTS, ids=lambda schema: schema.__name__)


def valid(schema: type[Body], inputs: object, **more: object) -> Body:
    return schema.model_validate({"inputs": inputs, "parameters": ASKED.get(schema, {}), **more})


def test_every_task_has_a_body():
    written = set(GENERATION_TASKS) - {Task.SUMMARIZATION}
    assert set(BODIES) == set(Task) - written
    assert {*BODIES.values(), GenerationBody} == set(INPUTS)


def test_a_model_that_generates_is_asked_alike_whatever_its_task():
    for task in GENERATION_TASKS:
        assert bodies_of(task, generates=True) == (GenerationBody,)
    assert bodies_of(Task.SUMMARIZATION, generates=False) == (SummaryBody,)


def test_a_model_may_be_asked_in_two_ways_and_the_request_tells_which():
    inference = ("CONTRADICTION", "neutral", "Entailment")
    bodies = bodies_of(Task.TEXT_CLASSIFICATION, inference, generates=False)
    assert bodies == (ClassificationBody, ZeroShotBody)
    asked = {"inputs": "a", "parameters": {"candidate_labels": ["b"]}}
    assert body_for(asked, bodies) is ZeroShotBody
    for content in ({"inputs": "a"}, {"parameters": 3}, [], None, "a"):
        assert body_for(content, bodies) is ClassificationBody
    assert bodies_of(Task.TEXT_CLASSIFICATION, ("a", "b"), generates=False) == (ClassificationBody,)
    lone = bodies_of(Task.TEXT_CLASSIFICATION, ("entailment",), generates=False)
    assert lone == (ClassificationBody,)
    bodies = bodies_of(Task.FEATURE_EXTRACTION, generates=False)
    assert body_for({"inputs": INPUTS[SimilarityBody]}, bodies) is SimilarityBody
    assert body_for({"inputs": [INPUTS[SimilarityBody]]}, bodies) is SimilarityBody
    for inputs in ("a", ["a"], [], None):
        assert body_for({"inputs": inputs}, bodies) is EmbeddingBody


@every_body
def test_one_input_and_a_list_of_it_give_the_same_items(schema: type[Body]):
    one = valid(schema, INPUTS[schema])
    many = valid(schema, [INPUTS[schema]] * 3)
    assert many.items() == one.items() * 3


@every_body
def test_every_text_of_an_item_is_counted(schema: type[Body]):
    [item] = valid(schema, INPUTS[schema]).items()
    texts = list(texts_of(item))
    assert texts
    assert all(isinstance(text, str) and text for text in texts)
    together = {SimilarityBody: 2, ZeroShotBody: 2}
    assert inputs_of(item) == together.get(schema, 1)


@every_body
@pytest.mark.parametrize("inputs", ["", " \n\t", [], ["ok", " "], 3, None, {"nothing": 1}])
def test_an_input_without_text_is_refused(schema: type[Body], inputs: object):
    with pytest.raises(ValidationError):
        valid(schema, inputs)


@every_body
def test_unknown_parameters_are_refused_and_legacy_options_ignored(schema: type[Body]):
    body = valid(schema, INPUTS[schema], options={"wait_for_model": True})
    assert len(body.items()) == 1
    with pytest.raises(ValidationError):
        valid(schema, INPUTS[schema], parameters=ASKED.get(schema, {}) | {"tok_k": 1})
    with pytest.raises(ValidationError):
        valid(schema, INPUTS[schema], parameter={})


@pytest.mark.parametrize("schema", [QaBody, SimilarityBody])
@pytest.mark.parametrize("beside", [{}, {"inputs": None, "parameters": {}}])
def test_older_clients_put_the_inputs_at_the_root(schema: type[Body], beside: dict[str, object]):
    old = {**INPUTS[schema], **beside}  # type: ignore[dict-item]
    content = schema.gathered(old)
    assert schema.model_validate(content).items() == valid(schema, INPUTS[schema]).items()
    assert body_for(old, (EmbeddingBody, SimilarityBody)) is SimilarityBody or schema is QaBody
    new = {"inputs": INPUTS[schema], "question": 1}
    assert schema.gathered(new) is new


def test_a_pair_is_one_item():
    body = ClassificationBody.model_validate({"inputs": {"text": "a", "text_pair": "b"}})
    assert body.items() == [ClassificationItem("a", "b", body.parameters)]


def test_shapes_are_those_that_the_clients_parse():
    label = [{"label": "x", "score": 1.0}]
    assert ClassificationBody.model_validate({"inputs": "a"}).shape([label]) == [label]
    assert NerBody.model_validate({"inputs": "a"}).shape([[]]) == []
    assert NerBody.model_validate({"inputs": ["a"]}).shape([[]]) == [[]]
    question = {"question": "q", "context": "c"}
    answer = {"answer": "c", "score": 1.0, "start": 0, "end": 1}
    assert QaBody.model_validate({"inputs": question}).shape([answer]) == answer
    assert QaBody.model_validate({"inputs": [question]}).shape([answer]) == [answer]
