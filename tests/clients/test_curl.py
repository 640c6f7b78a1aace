"""curl against every family: what the documents show, as a person types it."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.clients.conftest import ADMIN_KEY
from tests.running import RunningServer

TEXT = '{"inputs": "Where is my parcel?"}'
TENSOR = (
    '{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["Where is it?"]}]}'
)
COMPARE = '{"inputs": {"source_sentence": "A parcel.", "sentences": ["A box."]}}'
FAMILIES = {
    "Hugging Face": ("/models/intent", TEXT),
    "text-embeddings-inference": ("/embed", TEXT),
    "its pairs": ("/rerank", '{"query": "Where?", "texts": ["Here."]}'),
    "its comparison": ("/similarity", COMPARE),
    "its address of one model": ("/tei/intent/predict", TEXT),
    "OpenAI": ("/v1/embeddings", '{"input": "Where is my parcel?", "model": "embed"}'),
    "Open Inference Protocol": ("/v2/models/intent/infer", TENSOR),
    "its version": ("/v2/models/intent/versions/1/infer", TENSOR),
}
LOOKS = ("/livez", "/readyz", "/v1/models", "/v2", "/v2/models/qa", "/tei/embed/info", "/metrics")


def curl(server: RunningServer, path: str, *arguments: str) -> tuple[int, str]:
    """Status and body."""
    assert shutil.which("curl"), "install curl"
    command = ["curl", "--silent", "--write-out", "\n%{http_code}", *arguments, server.url + path]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    body, _, status = out.rpartition("\n")
    return int(status), body


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_answers_and_names_what_is_wrong(server: RunningServer, family: str):
    path, body = FAMILIES[family]
    status, answer = curl(server, path, "--data", body)
    assert status == 200, answer
    assert json.loads(answer)
    status, answer = curl(server, path, "--data", '{"wrong": 1}')
    assert status in (400, 422)
    assert "wrong" in answer
    status, answer = curl(server, path, "--data", "{")
    assert status in (400, 422)
    assert "not JSON" in answer


@pytest.mark.parametrize("path", LOOKS)
def test_what_is_only_looked_at(server: RunningServer, path: str):
    status, answer = curl(server, path)
    assert status == 200, answer


def test_headers_tell_the_request_and_the_version(server: RunningServer):
    status, answer = curl(
        server, "/models/intent", "--include", "--header", "x-request-id: mine", "--data", TEXT
    )
    assert status == 200
    assert "x-request-id: mine" in answer
    assert "x-model-version: intent@1" in answer


def test_the_administrator_unloads_and_loads(server: RunningServer):
    def admin(end: str, key: str = ADMIN_KEY) -> tuple[int, Any]:
        header = f"x-api-key: {key}"
        arguments = ("--request", "POST", "--header", header)
        status, answer = curl(server, f"/admin/models/fill/{end}", *arguments)
        return status, json.loads(answer)

    assert admin("unload", "another")[0] == 401
    assert admin("unload") == (200, {"models": []})
    assert curl(server, "/models/fill/health")[0] == 404
    status, answer = admin("load")
    assert status == 200
    assert [one["name"] for one in answer["models"]] == ["fill"]
    assert curl(server, "/models/fill/health")[0] == 200


def test_metrics_tell_each_protocol(server: RunningServer):
    for path, body in FAMILIES.values():
        assert curl(server, path, "--data", body)[0] == 200
    shown = curl(server, "/metrics")[1]
    for protocol in ("hugging-face", "openai", "text-embeddings-inference", "open-inference"):
        assert f'protocol="{protocol}"' in shown
