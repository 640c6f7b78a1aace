"""Feature extraction and sentence similarity on the wire."""

import base64

import numpy as np
import pytest
from pydantic import ValidationError

from contracts.embeddings import EmbeddingBody, SimilarityBody

VECTOR = np.array([0.25, -3.5, 1e-3], dtype=np.float32)


def test_parameters_stand_at_the_root_or_under_parameters_and_the_root_goes_first():
    body = EmbeddingBody.model_validate(
        {
            "inputs": "a",
            "normalize": False,
            "parameters": {"normalize": True, "dimensions": 4},
        }
    )
    [item] = body.items()
    assert (item.parameters.normalize, item.parameters.dimensions) == (False, 4)
    assert item.parameters.long == "window"
    [item] = EmbeddingBody.model_validate({"inputs": "a", "parameters": {}}).items()
    assert item.parameters.normalize is None


@pytest.mark.parametrize(
    "wrong", [{"dimensions": 0}, {"encoding_format": "int8"}, {"truncation_direction": "up"}]
)
def test_a_wrong_parameter_is_refused_wherever_it_stands(wrong: dict[str, object]):
    for body in ({"inputs": "a", **wrong}, {"inputs": "a", "parameters": wrong}):
        with pytest.raises(ValidationError):
            EmbeddingBody.model_validate(body)


def test_embeddings_are_a_list_for_one_text_too():
    [shaped] = EmbeddingBody.model_validate({"inputs": "a"}).shape([VECTOR])
    assert shaped is VECTOR


def test_base64_holds_the_same_numbers():
    body = EmbeddingBody.model_validate({"inputs": ["a"], "encoding_format": "base64"})
    [text] = body.shape([VECTOR])
    assert isinstance(text, str)
    assert np.array_equal(np.frombuffer(base64.b64decode(text), "<f4"), VECTOR)


def test_similarities_are_flat_for_one_source_and_a_list_for_a_batch():
    one = {"source_sentence": "a", "sentences": ["b"]}
    assert SimilarityBody.model_validate({"inputs": one}).shape([[0.5]]) == [0.5]
    assert SimilarityBody.model_validate({"inputs": [one]}).shape([[0.5]]) == [[0.5]]
