"""The wire's shapes: what is accepted, what is refused, and how answers are put together."""

import pytest
from pydantic import ValidationError

from contracts.schemas import BODIES, ClassificationBody, ClassificationItem, NerBody, QaBody
from contracts.tasks import Task

INPUTS = {
    Task.TEXT_CLASSIFICATION: "good",
    Task.TOKEN_CLASSIFICATION: "Ada lives in Rome",
    Task.QUESTION_ANSWERING: {"question": "where?", "context": "in Rome"},
    Task.SUMMARIZATION: "One. Two.",
}


def test_every_task_has_a_body():
    assert set(BODIES) == set(Task) == set(INPUTS)


@pytest.mark.parametrize("task", Task)
def test_one_input_and_a_list_of_it_give_the_same_items(task: Task):
    one = BODIES[task].model_validate({"inputs": INPUTS[task], "parameters": {}})
    many = BODIES[task].model_validate({"inputs": [INPUTS[task]] * 3})
    assert many.items() == one.items() * 3


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("inputs", ["", " \n\t", [], ["ok", " "], 3, None, {"nothing": 1}])
def test_an_input_without_text_is_refused(task: Task, inputs: object):
    with pytest.raises(ValidationError):
        BODIES[task].model_validate({"inputs": inputs})


@pytest.mark.parametrize("task", Task)
def test_unknown_parameters_are_refused_and_legacy_options_ignored(task: Task):
    body = BODIES[task].model_validate(
        {"inputs": INPUTS[task], "options": {"wait_for_model": True}}
    )
    assert len(body.items()) == 1
    with pytest.raises(ValidationError):
        BODIES[task].model_validate({"inputs": INPUTS[task], "parameters": {"tok_k": 1}})
    with pytest.raises(ValidationError):
        BODIES[task].model_validate({"inputs": INPUTS[task], "parameter": {}})


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
