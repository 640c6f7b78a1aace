"""The wire's shapes: what is accepted, what is refused, and how answers are put together."""

import pytest
from pydantic import ValidationError

from contracts.bodies import body_of
from contracts.generation import GenerationBody
from contracts.schemas import (
    Body,
    ClassificationBody,
    ClassificationItem,
    NerBody,
    QaBody,
    SummaryBody,
)
from contracts.tasks import GENERATION_TASKS, Task

INPUTS: dict[type[Body], object] = {
    ClassificationBody: "good",
    NerBody: "Ada lives in Rome",
    QaBody: {"question": "where?", "context": "in Rome"},
    SummaryBody: "One. Two.",
    GenerationBody: "One. Two.",
}
every_body = pytest.mark.parametrize("schema", INPUTS, ids=lambda schema: schema.__name__)


def test_every_task_has_a_body():
    bodies = {
        body_of(task, generates)
        for task in Task
        for generates in (True, False)
        if task in GENERATION_TASKS or not generates
        if generates or task not in (Task.TRANSLATION, Task.TEXT2TEXT_GENERATION)
    }
    assert bodies == set(INPUTS)


def test_a_model_that_generates_is_asked_alike_whatever_its_task():
    assert {body_of(task, True) for task in GENERATION_TASKS} == {GenerationBody}
    assert body_of(Task.SUMMARIZATION, False) is SummaryBody


@every_body
def test_one_input_and_a_list_of_it_give_the_same_items(schema: type[Body]):
    one = schema.model_validate({"inputs": INPUTS[schema], "parameters": {}})
    many = schema.model_validate({"inputs": [INPUTS[schema]] * 3})
    assert many.items() == one.items() * 3


@every_body
@pytest.mark.parametrize("inputs", ["", " \n\t", [], ["ok", " "], 3, None, {"nothing": 1}])
def test_an_input_without_text_is_refused(schema: type[Body], inputs: object):
    with pytest.raises(ValidationError):
        schema.model_validate({"inputs": inputs})


@every_body
def test_unknown_parameters_are_refused_and_legacy_options_ignored(schema: type[Body]):
    body = schema.model_validate({"inputs": INPUTS[schema], "options": {"wait_for_model": True}})
    assert len(body.items()) == 1
    with pytest.raises(ValidationError):
        schema.model_validate({"inputs": INPUTS[schema], "parameters": {"tok_k": 1}})
    with pytest.raises(ValidationError):
        schema.model_validate({"inputs": INPUTS[schema], "parameter": {}})


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
