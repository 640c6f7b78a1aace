"""The runner refuses what it must not do; with a server, it measures and judges."""

from pathlib import Path

import pytest

from contracts.tasks import Task
from loadtests.run import main
from tests.models import tiny_checkpoint
from tests.running import free_port, running

TASKS = {
    "intent": Task.TEXT_CLASSIFICATION,
    "entities": Task.TOKEN_CLASSIFICATION,
    "qa": Task.QUESTION_ANSWERING,
}
LOOSE = "max_failure_ratio = 0.0\nmax_p50_ms = 9000\nmax_p99_ms = 9999\nmin_per_second = 0.01\n"


def test_other_machines_are_never_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "http://models.example.org:8000"]) == 2
    assert "another machine" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", f"http://127.0.0.1:{free_port()}"]) == 2
    assert "not ready" in capsys.readouterr().err


@pytest.mark.e2e
def test_a_few_seconds_against_a_server_are_measured_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [
        f"--model={name}={tiny_checkpoint(tmp_path / name, 'bert', task)}"
        for name, task in TASKS.items()
    ]
    limits = tmp_path / "limits.toml"
    store = f"--store={tmp_path / 'store'}"
    with running(tmp_path / "log", store, "--backend=fake", *models) as server:
        server.wait_ready()
        arguments = ["--url", server.url, "--users", "2", "--limits", str(limits)]
        limits.write_text(f"[chatbot]\n{LOOSE}\n[recommender]\n{LOOSE}")
        assert main([*arguments, "--seconds", "4"]) == 0, capsys.readouterr().out
        printed = capsys.readouterr().out
        assert "Every limit holds." in printed
        for name in ("chatbot", "chatbot: entities", "chatbot: qa", "recommender"):
            assert any(line.startswith(f"{name} ") for line in printed.splitlines())

        strict = LOOSE.replace("9000", "0.01")
        limits.write_text(f"[chatbot]\n{strict}\n[recommender]\n{LOOSE}")
        assert main([*arguments, "--seconds", "2"]) == 1
        assert "MISSED  chatbot: p50" in capsys.readouterr().out


@pytest.mark.e2e
def test_models_that_the_server_lacks_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_checkpoint(tmp_path / "qa", "bert", Task.QUESTION_ANSWERING)
    store = f"--store={tmp_path / 'store'}"
    with running(tmp_path / "log", store, "--backend=fake", f"--model=qa={model}") as server:
        server.wait_ready()
        assert main(["--url", server.url]) == 2
    assert "no model intent, entities" in capsys.readouterr().err
