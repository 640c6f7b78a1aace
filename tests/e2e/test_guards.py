"""Keys, quotas, origins, proxies and TLS, on one server that has them all."""

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from server.keys import add_key
from tests.certificates import self_signed
from tests.running import RunningServer, running

ORIGIN = "https://shop.example.org"
BODY = {"inputs": "Where is my parcel?"}


@dataclass
class Guarded:
    """A server behind TLS, and how to ask it."""

    server: RunningServer
    keys_file: Path
    keys: dict[str, str]
    client: httpx.Client

    def ask(self, key: str, model: str = "intent", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        headers = {"authorization": f"Bearer {self.keys[key]}", **named}
        return self.client.post(f"/models/{model}", json=BODY, headers=headers)


@pytest.fixture(scope="module")
def guarded(
    checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guards")
    keys_file = folder / "keys.toml"
    certificate, private = self_signed(folder)
    quotas = {"all": (None, None), "slow": ("6/min", None), "one": (None, 1)}
    keys = {
        name: add_key(keys_file, name, models=[], rate=rate, concurrency=most)
        for name, (rate, most) in quotas.items()
    }
    keys["scoped"] = add_key(keys_file, "scoped", models=["ent*"], rate=None, concurrency=None)
    arguments = [
        f"--store={folder / 'store'}",
        "--backend=torch",
        "--precision=fp32",
        *(f"--model={name}={checkpoints[name]}" for name in ("intent", "entities")),
        f"--keys-file={keys_file}",
        f"--cors-origins={ORIGIN}",
        "--trusted-proxies=127.0.0.1",
        f"--tls-cert={certificate}",
        f"--tls-key={private}",
    ]
    context = ssl.create_default_context(cafile=certificate)
    with running(folder / "server.log", *arguments) as server:
        url = server.url.replace("http:", "https:")
        with httpx.Client(base_url=url, verify=context, timeout=30) as client:
            server.wait_ready(client=client)
            yield Guarded(server, keys_file, keys, client)


def test_a_request_without_a_right_key_is_401_and_told_the_scheme(guarded: Guarded):
    for headers in ({}, {"authorization": "Bearer ts_wrong"}, {"x-api-key": "wrong"}):
        asked = guarded.client.post("/models/intent", json=BODY, headers=headers)
        looked = guarded.client.get("/models/intent/info", headers=headers)
        listed = guarded.client.get("/v1/models", headers=headers)  # in OpenAI's shape
        assert {one.status_code for one in (asked, looked, listed)} == {401}
        assert asked.json()["error_type"] == looked.json()["error_type"] == "unauthorized"
        for answer in (asked, looked, listed):
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_opens_in_either_header_and_the_probes_need_none(guarded: Guarded):
    assert guarded.ask("all").status_code == 200
    given = {"x-api-key": guarded.keys["all"]}
    assert guarded.client.post("/models/intent", json=BODY, headers=given).status_code == 200
    for path in ("/livez", "/readyz", "/metrics", "/docs", "/openapi.json"):
        assert guarded.client.get(path).status_code == 200, path


def test_a_key_of_other_models_is_403_and_sees_only_its_own(guarded: Guarded):
    assert guarded.ask("scoped", "entities").status_code == 200
    refused = guarded.ask("scoped", "intent@1")
    assert (refused.status_code, refused.json()["error_type"]) == (403, "forbidden")
    assert refused.json()["error"] == "The key scoped is not for the model intent."
    given = {"x-api-key": guarded.keys["scoped"]}
    listed = guarded.client.get("/v1/models", headers=given).json()["data"]
    assert [model["id"] for model in listed] == ["entities"]
    assert guarded.client.get("/models/intent/info", headers=given).status_code == 403


def test_a_key_above_its_rate_is_429_and_told_when_to_come_back(guarded: Guarded):
    assert guarded.ask("slow").status_code == 200
    refused = guarded.ask("slow")
    assert (refused.status_code, refused.json()["error_type"]) == (429, "quota_exceeded")
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert guarded.ask("all").status_code == 200


def test_a_key_that_is_added_opens_within_seconds_and_a_broken_file_shuts_nobody_out(
    guarded: Guarded,
):
    guarded.keys["late"] = add_key(
        guarded.keys_file, "late", models=[], rate=None, concurrency=None
    )
    time.sleep(1.1)
    assert guarded.ask("late").status_code == 200
    whole = guarded.keys_file.read_text()
    guarded.keys_file.write_text(whole + "[broken")
    time.sleep(1.1)
    assert guarded.ask("late").status_code == 200
    assert any(
        line["message"] == "the keys stay as they were" for line in guarded.server.log_lines()
    )
    guarded.keys_file.write_text(whole)


def test_log_and_metrics_have_the_keys_name_and_the_callers_address_but_no_key(guarded: Guarded):
    answer = guarded.ask("all", x_forwarded_for="203.0.113.7", x_request_id="proxied")
    assert answer.status_code == 200
    metrics = guarded.client.get("/metrics").text
    assert 'tuneserve_key_requests_total{key="all",status="200"}' in metrics
    line = guarded.server.log_line("proxied")
    assert (line["key"], line["client"]) == ("all", "203.0.113.7")
    written = guarded.server.log.read_text() + metrics
    assert not any(key in written for key in guarded.keys.values())


def test_pages_of_the_named_origin_may_ask_and_read_the_headers(guarded: Guarded):
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "authorization"
    allowed = guarded.client.options("/models/intent", headers=asked)
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    answer = guarded.ask("all", origin=ORIGIN)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    other = guarded.ask("all", origin="https://other.example.org")
    assert "access-control-allow-origin" not in other.headers


def test_no_origin_is_allowed_by_default(server: RunningServer):
    answer = httpx.post(f"{server.url}/models/intent", json=BODY, headers={"origin": ORIGIN})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_openapi_tells_of_the_keys(guarded: Guarded):
    document = guarded.client.get("/openapi.json").json()
    assert document["security"] == [{"bearer": []}, {"header": []}]
