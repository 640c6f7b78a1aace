"""Every error of the contract: status, body and headers, and the sentence reaches each client.

The HTTP side is the real one; behind it an engine fails as the text tells it to.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

from contracts import errors
from contracts.errors import ServingError
from server.keys import add_key
from server.lanes import Lane
from server.messages import ModelStatus
from tests.clients.javascript import ask_in_javascript
from tests.server.http_process import HttpProcess
from tests.server.stand_in import StandIn

BART = ModelStatus("bart", 1, (), "summarization", "ready", generates=True)
WAKING = ModelStatus("waking", 1, (), "summarization", "loading", generates=True)


@dataclass(frozen=True)
class Case:
    """One way to fail."""

    status: int
    code: str
    said: str
    """A part of the sentence."""
    text: Any = "fine"
    parameters: dict[str, Any] = field(default_factory=dict)
    model: str = "bart"
    key: str = "all"
    headers: tuple[str, ...] = ()
    """That must be there besides ``x-request-id``."""


CASES = {
    "no key": Case(
        401, "unauthorized", "asks for an API key", key="", headers=("www-authenticate",)
    ),
    "a wrong key": Case(
        401, "unauthorized", "key is wrong", key="x", headers=("www-authenticate",)
    ),
    "another's model": Case(403, "forbidden", "not for the model bart", key="scoped"),
    "no such model": Case(404, "unknown_model", "served are: bart", model="brat"),
    "no such version": Case(404, "unknown_model", "no version or alias '9'", model="bart@9"),
    "a large body": Case(413, "request_too_large", "2000 bytes", text="a" * 3000),
    "many inputs": Case(413, "request_too_large", "at most 4", text=["a"] * 5),
    "many characters": Case(413, "request_too_large", "1000 are taken", text="a" * 1001),
    "a long text": Case(413, "input_too_long", "600 tokens and the model accepts 512", text="LONG"),
    "no text": Case(422, "invalid_request", "inputs: the text is empty", text=""),
    "a wrong parameter": Case(
        422, "invalid_request", 'did you mean "num_beams"?', parameters={"num_beam": 2}
    ),
    "a wrong value": Case(422, "invalid_request", "num_beams", parameters={"num_beams": "two"}),
    "too much": Case(429, "overloaded", "try again in 7 s", text="FULL", headers=("retry-after",)),
    "a used quota": Case(
        429, "quota_exceeded", "requests a second; try again", key="slow", headers=("retry-after",)
    ),
    "a failure": Case(500, "backend_failure", "the log has the reason", text="BROKEN"),
    "a model that loads": Case(
        503, "unavailable", "waking is loading", model="waking", headers=("retry-after",)
    ),
    "a late answer": Case(504, "deadline_exceeded", "Too late", text="LATE"),
}


@dataclass
class Server:
    """Its address, and the keys by name; "" and "x" stand for themselves."""

    url: str
    keys: dict[str, str]

    def of(self, case: Case) -> str:
        return f"{self.url}/models/{case.model}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("errors")
    file = folder / "keys.toml"
    keys = {"": "", "x": "x"}
    quotas: dict[str, tuple[list[str], str | None]] = {
        "all": ([], None),
        "scoped": (["other"], None),
        "slow": ([], "1/h"),
    }
    for name, (models, rate) in quotas.items():
        keys[name] = add_key(file, name, models=models, rate=rate, concurrency=None)
    path: Path = folder / "g.sock"
    engine = StandIn(path, (BART, WAKING))
    thread = threading.Thread(target=engine.run, daemon=True)
    thread.start()
    process = HttpProcess(
        {Lane.GENERATION: [path]},
        {Lane.GENERATION: (BART, WAKING)},
        keys_file=file,
        max_items=4,
        max_characters=1000,
        max_body_bytes=2000,
    )
    with process.running():
        one = Server(process.url, keys)
        given = {"x-api-key": keys["all"]}
        process.wait(lambda: httpx.get(f"{one.url}/readyz").json()["models"])
        process.wait(lambda: _post(one, CASES["no text"]).status_code == 422)
        httpx.post(f"{one.url}/models/bart", json={"inputs": "a"}, headers=given)
        _post(one, Case(200, "", "", key="slow"))  # its one request of this hour
        yield one
    engine.closing.set()
    thread.join(5)


def _post(server: Server, case: Case) -> httpx.Response:
    headers = {"x-api-key": server.keys[case.key]} if case.key else {}
    body = {"inputs": case.text, "parameters": case.parameters}
    return httpx.post(server.of(case), json=body, headers=headers, timeout=30)


@pytest.fixture(scope="module")
def javascript(server: Server) -> dict[str, dict[str, Any]]:
    """What the JavaScript client makes of each case."""
    asks = [
        {
            "method": "summarization",
            "url": server.of(case),
            "key": server.keys[case.key] or None,
            "args": {"inputs": case.text, "parameters": case.parameters},
        }
        for case in CASES.values()
    ]
    return dict(zip(CASES, ask_in_javascript(asks), strict=True))


def test_every_error_that_a_request_can_end_with_has_a_case():
    kinds: set[type[ServingError]] = set()
    waiting = [ServingError]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            kinds.add(kind)
    public = {one for one in kinds if one.__module__ == errors.__name__ and one.__name__[0] != "_"}
    assert {(one.status, one.code) for one in public} == {
        (case.status, case.code) for case in CASES.values()
    }


@pytest.mark.parametrize("name", CASES)
def test_status_body_and_headers(server: Server, name: str):
    case = CASES[name]
    answer = _post(server, case)
    assert answer.status_code == case.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()
    assert set(error) == {"error", "error_type", "request_id"}
    assert error["error_type"] == case.code
    assert case.said in error["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    for header in case.headers:
        assert answer.headers[header]
    if "retry-after" in case.headers:
        assert int(answer.headers["retry-after"]) >= 1
    else:
        assert "retry-after" not in answer.headers


@pytest.mark.parametrize("name", CASES)
def test_the_python_client_shows_the_sentence(server: Server, name: str):
    case = CASES[name]
    client = InferenceClient(
        model=server.of(case), headers={"x-api-key": server.keys[case.key]}, timeout=30
    )
    with pytest.raises((HfHubHTTPError, InferenceTimeoutError)) as raised:
        client.summarization(case.text, generate_parameters=case.parameters or None)
    assert case.said in str(raised.value), raised.value
    assert raised.value.response is not None
    assert raised.value.response.status_code == case.status


@pytest.mark.parametrize("name", CASES)
def test_the_javascript_client_shows_the_sentence(javascript: dict[str, dict[str, Any]], name: str):
    outcome, case = javascript[name], CASES[name]
    assert outcome.get("status") == case.status, outcome
    assert case.said in outcome["message"], outcome
