"""Every example of the OpenAPI document is a request that the server answers."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from server.routes.bulk import bulk_section
from server.routes.inference_section import inference_section
from server.routes.open_inference_section import open_inference_section
from server.routes.openai_section import openai_section
from server.routes.text_embeddings_section import text_embeddings_section
from tests.running import RunningServer

SECTIONS = (
    inference_section(),
    bulk_section(),
    openai_section(),
    text_embeddings_section(),
    open_inference_section(),
)
OF_EXAMPLE = {
    "text-classification": "intent",
    "token-classification": "entities",
    "question-answering": "qa",
    "one question": "qa",
    "summarization (extractive)": "summary",
    "feature-extraction": "embed",
    "sentence-similarity": "embed",
    "zero-shot-classification": "nli",
    "fill-mask": "fill",
}
OF_PATH = {"embed": "embed", "similarity": "embed", "rerank": "rerank"}
GENERATED = {"summarization (generated)", "translation", "text2text-generation"}
"""Those of models that generate: ``tests/e2e/test_generation_clients.py``."""
SEVERAL = {"/", "/invocations", "/predict"}
"""Paths without a name, which several of our models fit; each has a twin with one."""


def examples() -> Iterator[tuple[str, str, str, Any]]:
    """Path, content type, name and body."""
    for section in SECTIONS:
        for path, operations in section.paths.items():
            body = operations.get("post", {}).get("requestBody", {"content": {}})
            for kind, content in body["content"].items():
                for name, example in content.get("examples", {}).items():
                    if path not in SEVERAL and name not in GENERATED:
                        yield path, kind, name, example["value"]


@pytest.mark.parametrize(("path", "kind", "name", "body"), list(examples()))
def test_the_example_is_answered(server: RunningServer, path: str, kind: str, name: str, body: Any):
    model = OF_EXAMPLE.get(name) or OF_PATH.get(path.rsplit("/", 1)[1], "intent")
    url = server.url + path.replace("{name}", model).replace("{version}", "1")
    given = {"content": body} if isinstance(body, str) else {"json": body}
    answer = httpx.post(url, headers={"content-type": kind}, timeout=30, **given)
    assert answer.status_code == 200, answer.text
    assert '"error"' not in answer.text
