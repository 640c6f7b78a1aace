"""What generating models are asked: what clients send is taken, wherever it stands."""

import json

import pytest
from huggingface_hub.inference._generated.types import (
    SummarizationParameters,
    Text2TextGenerationParameters,
    TextGenerationInputGenerateParameters,
    TranslationParameters,
)
from pydantic import ValidationError

from contracts.generation import ABSENT, GenerationBody, GenerationParameters


@pytest.mark.parametrize(
    "known",
    [
        SummarizationParameters,
        Text2TextGenerationParameters,
        TextGenerationInputGenerateParameters,
        TranslationParameters,
    ],
)
def test_every_parameter_that_hugging_faces_client_knows_is_known(known: type):
    assert set(known.__dataclass_fields__) <= set(GenerationParameters.model_fields)


LANGCHAIN = {
    "max_new_tokens": 512,
    "top_p": 0.95,
    "typical_p": 0.95,
    "temperature": 0.8,
    "return_full_text": False,
    "stop": [],
    "do_sample": False,
    "watermark": False,
    "top_k": None,
    "repetition_penalty": None,
    "truncate": None,
    "seed": None,
}
"""What its HuggingFaceEndpoint sends when nothing is set."""


def test_what_langchain_sends_is_taken():
    body = GenerationBody.model_validate({"inputs": "a", "parameters": LANGCHAIN})
    given = body.parameters.decoding()
    assert given["max_new_tokens"] == 512
    assert given["do_sample"] is False
    assert set(given) == {
        *("max_new_tokens", "top_p", "typical_p", "temperature", "stop", "do_sample")
    }


def test_parameters_count_wherever_they_stand_and_the_outer_one_wins():
    parameters = GenerationParameters.model_validate(
        {
            "generate_parameters": {"num_beams": 2, "max_length": 9, "stop": ["x"]},
            "num_beams": 3,
            "stop_sequences": ["y"],
        }
    )
    assert parameters.decoding() == {"num_beams": 3, "max_length": 9, "stop": ["x", "y"]}
    assert GenerationParameters().decoding() == {}


@pytest.mark.parametrize("name", ABSENT)
def test_what_the_server_cannot_do_is_refused_and_its_absence_taken(name: str):
    for none in (None, ABSENT[name]):
        GenerationParameters.model_validate({name: none})
    with pytest.raises(ValidationError, match="cannot do that"):
        GenerationParameters.model_validate({name: 7})


@pytest.mark.parametrize("name", ["temperature", "length_penalty", "repetition_penalty"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(name: str, number: str):
    raw = json.dumps({"inputs": "a", "parameters": {name: float(number)}})
    with pytest.raises(ValidationError):
        GenerationBody.model_validate_json(raw)
