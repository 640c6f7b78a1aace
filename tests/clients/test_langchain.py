"""LangChain's embeddings, unmodified, in their own environment."""

import httpx
import numpy as np

from tests.clients.environment import outside
from tests.running import RunningServer

TEXT = "The parcel waits in the warehouse of Hamburg."
OTHERS = ["Thank you for the quick answer.", "Where is it? 🎉"]


def test_langchain_embeds_through_openais_and_through_hugging_faces_shapes(server: RunningServer):
    answers = outside("langchain_embeddings.py", server.url, "embed", TEXT, *OTHERS)
    body = {"inputs": [TEXT, *OTHERS]}
    plain = httpx.post(f"{server.url}/models/embed", json=body, timeout=60).json()
    assert set(answers) == {"openai", "huggingface"}
    for ways in answers.values():
        for way in ways.values():
            np.testing.assert_allclose(way["query"], plain[0], atol=1e-5)
            np.testing.assert_allclose(way["texts"], plain[1:], atol=1e-5)
