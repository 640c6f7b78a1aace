"""OpenAI's embeddings: what may be an input, and what an answer looks like."""

import base64
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from server.protocols.openai import EmbeddingsBody


@pytest.mark.parametrize(
    ("given", "texts", "ids"),
    [
        ("a", ["a"], [None]),
        (["a", "b"], ["a", "b"], [None, None]),
        ([5, 6], [""], [[5, 6]]),
        ([[5], [6, 7]], ["", ""], [[5], [6, 7]]),
    ],
)
def test_an_input_is_text_or_token_ids(given: Any, texts: list[str], ids: Any):
    items = EmbeddingsBody.model_validate({"input": given}).items()
    assert [item.text for item in items] == texts
    assert [item.token_ids for item in items] == ids


@pytest.mark.parametrize("given", [[], "", [[]], [-1], ["a", 1], None, 5])
def test_other_inputs_are_refused(given: Any):
    with pytest.raises(ValidationError):
        EmbeddingsBody.model_validate({"input": given})


def test_an_answer_has_numbers_or_base64_and_counts_tokens():
    vectors = [np.array([0.5, -1.25], np.float32), np.array([0, 1], np.float32)]
    answer = EmbeddingsBody(input=["a", "b"]).shape(vectors, "mine", 7)
    assert [each["index"] for each in answer["data"]] == [0, 1]
    assert answer["data"][0]["embedding"].tolist() == [0.5, -1.25]
    assert (answer["model"], answer["usage"]["prompt_tokens"]) == ("mine", 7)
    coded = EmbeddingsBody(input=["a", "b"], encoding_format="base64").shape(vectors, "mine", 7)
    read = np.frombuffer(base64.b64decode(coded["data"][0]["embedding"]), "<f4")
    assert read.tolist() == [0.5, -1.25]
