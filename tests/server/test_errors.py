"""Every error on the wire has one shape, and every finding names its field and the way out."""

import orjson
import pytest
from pydantic import ValidationError

from contracts.errors import BackendFailure, InputTooLong, InvalidRequest, Overloaded
from contracts.generation import GenerationBody
from contracts.schemas import Body, ClassificationBody, NerBody, QaBody
from server.errors import error_response, explain
from server.exchange import raise_first

CLASSIFY, NER, QA, GENERATE = ClassificationBody, NerBody, QaBody, GenerationBody


def test_an_error_has_sentence_code_and_request_id():
    response = error_response(Overloaded("Too much waits.", 4), "abc")
    assert (response.status_code, response.headers["retry-after"]) == (429, "4")
    assert response.headers["x-request-id"] == "abc"
    assert orjson.loads(response.body) == {
        "error": "Too much waits.",
        "error_type": "overloaded",
        "request_id": "abc",
    }


def test_a_backend_failure_tells_the_caller_nothing_but_the_request_id():
    body = orjson.loads(error_response(BackendFailure("secret path"), "abc").body)
    assert "secret" not in body["error"]
    assert "abc" in body["error"]


def test_a_batch_ends_with_its_first_error_and_names_the_input():
    raise_first([1, [], {}])
    with pytest.raises(InputTooLong) as raised:
        raise_first([1, InputTooLong(9, 8), InvalidRequest("x")])
    assert b"inputs[1]: " in error_response(raised.value, "abc").body


@pytest.mark.parametrize(
    ("schema", "body", "said"),
    [
        (CLASSIFY, {}, ["inputs: Field required"]),
        (CLASSIFY, {"inputs": ""}, ["inputs: the text is empty"]),
        (CLASSIFY, {"inputs": ["ok", " "]}, ["inputs[1]: the text is empty"]),
        (CLASSIFY, {"inputs": "a", "parameters": {"topk": 1}}, ["parameters.topk", '"top_k"']),
        (CLASSIFY, {"inputs": "a", "parameters": {"zzz": 1}}, ["parameters.zzz", "known are"]),
        (CLASSIFY, {"inputs": "a", "parameters": {"top_k": 0}}, ["parameters.top_k", "1"]),
        (CLASSIFY, {"inputs": "a", "paramters": {}}, ["paramters", '"parameters"']),
        (CLASSIFY, {"inputs": {"text": "a", "pair": "b"}}, ["inputs"]),
        (NER, {"inputs": "a", "parameters": {"aggregation_strategy": "best"}}, ["'simple'"]),
        (QA, {"inputs": "a"}, ["inputs"]),
        (QA, {"inputs": {"question": "a"}}, ["inputs.context: Field required"]),
        (
            QA,
            {"inputs": {"question": "a", "context": "b", "contxt": "c"}},
            ["inputs.contxt: ", '"context"'],
        ),
        (QA, {"inputs": [{"question": "a", "context": " "}]}, ["inputs[0].context", "empty"]),
        (GENERATE, {"inputs": "a", "strem": True}, ["strem: ", '"stream"']),
        (
            GENERATE,
            {"inputs": "a", "parameters": {"beams": 2}},
            ['"num_beams"'],
        ),
        (GENERATE, {"inputs": "a", "parameters": {"tgt_lan": "x"}}, ['"tgt_lang"']),
        (
            GENERATE,
            {"inputs": "a", "parameters": {"num_beams": 99}},
            ["num_beams: ", "16"],
        ),
        (GENERATE, {"inputs": "a", "parameters": {"stop": ["a", ""]}}, ["parameters.stop[1]"]),
        (GENERATE, {"inputs": "a", "parameters": {"best_of": 2}}, ["cannot do that", "send 1."]),
        (
            GENERATE,
            {"inputs": "a", "parameters": {"grammar": {}}},
            ["leave it out."],
        ),
        (
            GENERATE,
            {"inputs": "a", "parameters": {"generate_parameters": {"max_new_token": 2}}},
            ["parameters.generate_parameters.max_new_token: ", '"max_new_tokens"'],
        ),
        (
            GENERATE,
            {"inputs": "a", "parameters": {"generate_parameters": {"top_p": 2}}},
            ["parameters.generate_parameters.top_p: "],
        ),
    ],
)
def test_a_wrong_body_gives_a_sentence_that_names_the_field(
    schema: type[Body], body: object, said: list[str]
):
    with pytest.raises(ValidationError) as wrong:
        schema.model_validate_json(orjson.dumps(body))
    sentence = str(explain(schema, body, wrong.value))
    for part in said:
        assert part in sentence
