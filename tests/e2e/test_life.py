"""Start, crash, drain: what a person or an orchestrator does to the process."""

import asyncio
import contextlib
import os
import select
import signal
import socket
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from tests.running import RunningServer, running

CLIENTS = 64
HEADERS = (
    b"POST /models/intent HTTP/1.1\r\nhost: here\r\n"
    b"content-type: application/json\r\ncontent-length: 19\r\n\r\n"
)
BODY = b'{"inputs": "Hello"}'


async def load(
    server: RunningServer,
    stop: asyncio.Event,
    outcomes: Counter[str],
    answered: list[tuple[float, float]],
) -> None:
    """Closed-loop clients; counts statuses, and what never got an answer after being sent.

    Each has a connection of its own, which so is never idle: in a pool, a request might take an
    idle one in the moment in which the server closes it, which HTTP/1.1 leaves to the client.
    """

    async def one() -> None:
        async with httpx.AsyncClient(timeout=30, verify=False) as client:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    answer = await client.post(
                        f"{server.url}/models/intent", json={"inputs": "Where is my parcel?"}
                    )
                except httpx.ConnectError:
                    outcomes["refused"] += 1
                    return
                except httpx.TransportError as error:
                    outcomes[f"lost: {type(error).__name__}"] += 1
                    return
                outcomes[str(answer.status_code)] += 1
                answered.append((began, time.monotonic()))
                if answer.status_code == 503:
                    await asyncio.sleep(int(answer.headers["retry-after"]))

    await asyncio.gather(*(one() for _ in range(CLIENTS)))


def test_a_killed_engine_is_answered_for_and_comes_back(tmp_path: Path, arguments: list[str]):
    with running(tmp_path / "log", *arguments) as server:
        engine = server.wait_ready()["engine_pids"][0]
        outcomes: Counter[str] = Counter()
        answered: list[tuple[float, float]] = []

        async def scene() -> tuple[float, float]:
            stop = asyncio.Event()
            clients = asyncio.create_task(load(server, stop, outcomes, answered))
            await asyncio.sleep(1.5)
            os.kill(engine, signal.SIGKILL)
            killed = time.monotonic()
            while True:
                await asyncio.sleep(0.1)
                status, report = await asyncio.to_thread(server.ready)
                if status == 200 and report["engine_pids"][0] != engine:
                    break
                assert time.monotonic() - killed < 60
            back = time.monotonic() - killed
            await asyncio.sleep(0.5)
            stop.set()
            await clients
            return killed, back

        killed, back_s = asyncio.run(scene())
        waiting = [end - killed for began, end in answered if began <= killed <= end]
        print(f"ready again after {back_s:.1f} s; {dict(outcomes)}")
        print(
            f"{len(waiting)} waited at the kill, the last was answered after {max(waiting):.2f} s"
        )
        assert set(outcomes) == {"200", "503"}
        assert len(waiting) > 1
        assert max(waiting) < 5
        assert server.ask("intent", "Hello").status_code == 200
        assert httpx.get(f"{server.url}/livez").status_code == 200


def test_sigterm_under_load_answers_all_that_was_accepted(tmp_path: Path, arguments: list[str]):
    with running(tmp_path / "log", *arguments) as server:
        server.wait_ready()
        family = server.family()
        outcomes: Counter[str] = Counter()

        async def scene() -> int:
            stop = asyncio.Event()
            clients = asyncio.create_task(load(server, stop, outcomes, []))
            await asyncio.sleep(1.5)
            server.process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(server.process.wait, 40)
            stop.set()
            await clients
            return code

        assert asyncio.run(scene()) == 0
        assert set(outcomes) <= {"200", "503", "refused"}, outcomes
        assert outcomes["200"] > 0
        _, alive = psutil.wait_procs(family, timeout=5)
        assert alive == []


def connects(place: tuple[str, int]) -> bool:
    """Whether the port is still open."""
    try:
        socket.create_connection(place, timeout=10).close()
    except ConnectionError:
        return False
    return True


def test_a_caller_who_connected_before_the_port_closed_is_answered(
    tmp_path: Path, arguments: list[str]
):
    with running(tmp_path / "log", *arguments) as server:
        server.wait_ready()
        place = ("127.0.0.1", server.port)
        with socket.create_connection(place, timeout=10) as early:
            server.process.send_signal(signal.SIGTERM)
            while connects(place):
                time.sleep(0.01)
            early.sendall(HEADERS)
            assert not select.select([early], [], [], 0.1)[0], "closed with the body on its way"
            early.sendall(BODY)
            answer = early.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 503 "), answer
        assert "connection: close" in answer
        assert server.process.wait(40) == 0


def test_sigterm_to_the_whole_group_drains_as_well(tmp_path: Path, arguments: list[str]):
    with running(tmp_path / "log", *arguments) as server:
        server.wait_ready()
        family = server.family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        assert server.process.wait(40) == 0
        _, alive = psutil.wait_procs(family, timeout=5)
        assert alive == []


def test_nothing_is_left_when_the_parent_is_killed(tmp_path: Path, arguments: list[str]):
    with running(tmp_path / "log", *arguments) as server:
        server.wait_ready()
        family = server.family()
        server.process.kill()
        server.process.wait(10)
        _, alive = psutil.wait_procs(family, timeout=20)
        assert alive == []


def test_good_models_are_served_and_the_bad_one_is_named(
    tmp_path: Path, checkpoints: dict[str, Path]
):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "config.json").write_text('{"architectures": ["BertForSequenceClassification"]}')
    (bad / "pytorch_model.bin").write_bytes(b"x")
    arguments = [
        f"--store={tmp_path / 'store'}",
        "--backend=torch",
        f"--model=good={checkpoints['intent']}",
        f"--model=bad={bad}",
    ]
    with running(tmp_path / "log", *arguments) as server:
        report = server.wait_ready()
        refused = next(model for model in report["models"] if model["name"] == "bad")
        assert refused["state"] == "refused"
        assert "tuneserve convert" in refused["reason"]
        assert any("tuneserve convert" in line["message"] for line in server.log_lines())
        assert server.ask("good", "hello").status_code == 200
        answer = server.ask("bad", "hello")
        assert answer.status_code == 404
        assert "tuneserve convert" in answer.json()["error"]
    with running(tmp_path / "log2", *arguments, "--strict") as strict:
        assert strict.process.wait(60) == 2
        assert "tuneserve convert" in strict.log.read_text()
    # A model whose fault shows only when it is loaded, beside one that the store has sound.
    late = [*arguments[:1], arguments[2], "--backend=openvino", "--precision=fp16", "--strict"]
    with running(tmp_path / "log3", *late) as strict:
        assert strict.process.wait(60) == 2
        assert "fp16 needs a GPU" in strict.log.read_text()


def test_the_key_opens_models_and_probes_stay_open(tmp_path: Path, arguments: list[str]):
    with running(tmp_path / "log", *arguments, SERVE_API_KEY="s3cret") as server:
        server.wait_ready()
        url = f"{server.url}/models/intent"
        body = {"inputs": "hello"}
        assert httpx.post(url, json=body).status_code == 401
        wrong = httpx.post(url, json=body, headers={"authorization": "Bearer nope"})
        assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, "Bearer")
        for headers in ({"authorization": "Bearer s3cret"}, {"x-api-key": "s3cret"}):
            assert httpx.post(url, json=body, headers=headers).status_code == 200
        assert httpx.get(f"{server.url}/v1/models").status_code == 401
        for path in ("/livez", "/readyz", "/metrics"):
            assert httpx.get(f"{server.url}{path}").status_code == 200
        assert "s3cret" not in server.log.read_text()


def test_too_much_waiting_is_429_at_once(tmp_path: Path, arguments: list[str]):
    with running(tmp_path / "log", *arguments, "--max-waiting=4") as server:
        server.wait_ready()

        async def flood() -> Counter[int]:
            async with httpx.AsyncClient(timeout=60) as client:
                body = {"inputs": ["Where is my parcel?"] * 200}
                asks = [client.post(f"{server.url}/models/intent", json=body) for _ in range(40)]
                answers = await asyncio.gather(*asks)
            for answer in answers:
                if answer.status_code == 429:
                    assert int(answer.headers["retry-after"]) >= 1
            return Counter(answer.status_code for answer in answers)

        statuses = asyncio.run(flood())
        assert set(statuses) == {200, 429}
        assert server.ready()[0] == 200


def test_a_caller_who_goes_away_frees_the_engine(tmp_path: Path, arguments: list[str]):
    with running(tmp_path / "log", *arguments) as server:
        server.wait_ready()
        text = "Angela Merkel visited Paris and New York. " * 100
        for _ in range(10):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(
                    f"{server.url}/models/entities", json={"inputs": [text] * 200}, timeout=0.2
                )
        ends = time.monotonic() + 20
        while server.metric("tuneserve_waiting") and time.monotonic() < ends:
            time.sleep(0.1)
        assert server.metric("tuneserve_waiting") == 0
        began = time.monotonic()
        assert server.ask("intent", "Hello").status_code == 200
        assert time.monotonic() - began < 10
