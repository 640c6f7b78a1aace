"""NVIDIA's client for Triton, unmodified, over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from model_store.copying import copy_checkpoint
from model_store.sources import open_source
from model_store.store import Store
from tests.clients.conftest import ADMIN_KEY
from tests.running import RunningServer

TEXTS = ["Where is my order?", "Thank you, Zoë! 🎉", "refund"]
CONTEXT = "Barack Obama was born in Honolulu, Hawaii."


@pytest.fixture
def client(server: RunningServer) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(server.url.removeprefix("http://"))
    yield client
    client.close()


def tensor(name: str, values: list[str], *, binary: bool = True) -> InferInput:
    one = InferInput(name, [len(values)], "BYTES")
    one.set_data_from_numpy(np.array(values, dtype=object), binary_data=binary)
    return one


def strings(result: InferResult, name: str) -> list[str]:
    return [each if isinstance(each, str) else each.decode() for each in result.as_numpy(name)]


def test_the_server_and_its_models_are_live_ready_and_described(client: InferenceServerClient):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("intent")
    assert client.is_model_ready("intent", "1")
    assert not client.is_model_ready("intent", "7")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("qa", "1")
    assert [each["name"] for each in metadata["inputs"]] == ["question", "context"]
    assert (metadata["versions"], metadata["platform"]) == (["1"], "torch")
    config = client.get_model_config("intent")
    assert config["name"] == "intent"
    assert {each["name"]: each["data_type"] for each in config["output"]} == {
        "label": "TYPE_STRING",
        "score": "TYPE_FP32",
        "output": "TYPE_STRING",
    }


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_infer_gives_the_answers_of_the_main_interface(
    server: RunningServer, client: InferenceServerClient, binary_in: bool, binary_out: bool | None
):
    names = ("label", "score", "output")
    outputs = None
    if binary_out is not None:
        outputs = [InferRequestedOutput(name, binary_data=binary_out) for name in names]
    inputs = [tensor("text", TEXTS, binary=binary_in)]
    result = client.infer("intent", inputs, outputs=outputs, request_id="mine")
    expected = server.ask("intent", TEXTS).json()
    best = [answer[0] for answer in expected]
    assert strings(result, "label") == [each["label"] for each in best]
    assert result.as_numpy("score") == pytest.approx([each["score"] for each in best], abs=1e-5)
    got = [json.loads(each) for each in strings(result, "output")]
    assert [[one["label"] for one in each] for each in got] == [
        [one["label"] for one in each] for each in expected
    ]
    assert result.get_response()["id"] == "mine"
    assert result.get_response()["model_version"] == "1"


def test_every_task_is_asked_with_its_parameters(
    server: RunningServer, client: InferenceServerClient
):
    def output(model: str, *inputs: InferInput, **parameters: Any) -> list[Any]:
        result = client.infer(model, list(inputs), parameters=parameters)
        return [json.loads(each) for each in strings(result, "output")]

    assert [len(each) for each in output("intent", tensor("text", TEXTS), top_k=2)] == [2, 2, 2]
    assert len(output("intent", tensor("args", TEXTS))) == 3
    assert len(output("intent", tensor("array_inputs", TEXTS))) == 3
    pairs = output("intent", tensor("text", TEXTS), tensor("text_pair", TEXTS))
    assert len(pairs) == 3
    text = "Angela Merkel visited Paris 🎉"
    for entity in output("entities", tensor("text", [text]))[0]:
        assert text[entity["start"] : entity["end"]] == entity["word"]
    [answer] = output("qa", tensor("question", ["Where?"]), tensor("context", [CONTEXT]))
    assert CONTEXT[answer["start"] : answer["end"]] == answer["answer"]
    [summary] = output("summary", tensor("text", [f"{CONTEXT} Thanks."]), max_sentences=1)
    assert summary["summary_text"] in f"{CONTEXT} Thanks."


def test_embeddings_are_a_matrix_and_labels_may_be_an_input(
    server: RunningServer, client: InferenceServerClient
):
    result = client.infer("embed", [tensor("text", TEXTS)], parameters={"normalize": True})
    plain = server.ask("embed", TEXTS, normalize=True).json()
    assert result.as_numpy("embedding") == pytest.approx(np.array(plain), abs=1e-5)
    assert json.loads(strings(result, "output")[0]) == pytest.approx(plain[0], abs=1e-5)
    labels = ["delivery", "payment"]
    inputs = [tensor("text", TEXTS), tensor("candidate_labels", labels)]
    result = client.infer("nli", inputs, parameters={"multi_label": True})
    expected = server.ask("nli", TEXTS, candidate_labels=labels, multi_label=True).json()
    assert strings(result, "label") == [each[0]["label"] for each in expected]
    found = client.infer("fill", [tensor("text", ["The [MASK] waits."])], parameters={"top_k": 2})
    assert len(json.loads(strings(found, "output")[0])) == 2


def test_an_input_of_one_column_is_taken(client: InferenceServerClient):
    one = InferInput("text", [2, 1], "BYTES")
    one.set_data_from_numpy(np.array([["a parcel"], ["refund"]], dtype=object))
    assert client.infer("intent", [one]).as_numpy("label").shape == (2,)


def compressed(client: InferenceServerClient) -> str:
    with pytest.raises(InferenceServerException) as raised:
        client.infer("intent", [tensor("text", TEXTS)], request_compression_algorithm="gzip")
    return str(raised.value.message())


def test_a_timeout_in_microseconds_is_kept(client: InferenceServerClient):
    with pytest.raises(InferenceServerException) as raised:
        client.infer("intent", [tensor("text", TEXTS * 60)], timeout=1000)
    assert raised.value.status() == "504"
    assert client.infer("intent", [tensor("text", TEXTS)], timeout=20_000_000)


def test_errors_are_the_servers_sentence(client: InferenceServerClient):
    def failure(model: str, *inputs: InferInput, **parameters: Any) -> InferenceServerException:
        with pytest.raises(InferenceServerException) as raised:
            client.infer(model, list(inputs), parameters=parameters)
        return raised.value

    text = tensor("text", TEXTS)
    assert "there is no model" in failure("nothing", text).message().lower()
    assert failure("nothing", text).status() == "404"
    assert failure("qa", tensor("question", TEXTS)).message() == "inputs: context is missing."
    assert failure("qa", tensor("question", TEXTS)).status() == "400"
    assert "it has text" in failure("intent", tensor("tekst", TEXTS)).message()
    assert "top_k" in failure("intent", text, topk=1).message()
    assert failure("intent", tensor("text", ["a " * 500])).status() == "413"
    assert "compressed" in compressed(client)
    unequal = failure("qa", tensor("question", TEXTS), tensor("context", ["a"]))
    assert "same number" in unequal.message()


def test_statistics_count_what_was_asked(client: InferenceServerClient):
    def counted() -> dict[str, Any]:
        [one] = client.get_inference_statistics("summary", "1")["model_stats"]
        return one

    before = counted()
    client.infer("summary", [tensor("text", ["The first. The second.", "A third one."])])
    with pytest.raises(InferenceServerException):
        client.infer("summary", [tensor("wrong", ["a"])])
    after = counted()
    assert after["inference_count"] == before["inference_count"] + 2
    assert after["execution_count"] > before["execution_count"]
    spent = after["inference_stats"]
    assert spent["success"]["count"] == before["inference_stats"]["success"]["count"] + 1
    assert spent["fail"]["count"] == before["inference_stats"]["fail"]["count"] + 1
    assert spent["success"]["ns"] > spent["compute_infer"]["ns"] > 0
    names = {each["name"] for each in client.get_inference_statistics()["model_stats"]}
    assert {"intent", "entities", "qa", "summary"} <= names


def test_the_repository_tells_every_model(client: InferenceServerClient):
    index = {each["name"]: each for each in client.get_model_repository_index()}
    assert index["intent"] == {"name": "intent", "version": "1", "state": "READY", "reason": ""}


def test_a_model_is_loaded_and_unloaded_with_the_administrators_key(
    client: InferenceServerClient, store: Path, checkpoints: dict[str, Path]
):
    models = Store(store)
    plain = open_source("later", str(checkpoints["intent"]), cache_root=models.cache_root)
    models.publish("later", lambda folder: copy_checkpoint(plain, folder))
    assert not client.is_model_ready("later")
    with pytest.raises(InferenceServerException, match="administrator's key"):
        client.load_model("later")
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    client.load_model("later", headers=headers)
    assert client.is_model_ready("later")
    assert len(client.infer("later", [tensor("text", TEXTS)]).as_numpy("label")) == 3
    with pytest.raises(InferenceServerException, match="neither config nor files"):
        client.load_model("later", headers=headers, config="{}")
    client.unload_model("later", headers=headers)
    assert not client.is_model_ready("later")
    assert "later" not in {each["name"] for each in client.get_model_repository_index()}
