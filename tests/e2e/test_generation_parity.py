"""One learnt model, every backend, over HTTP: the answers of ``generate``, alone and in company."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.copy_and_reverse import copy_and_reverse, pairs
from tests.running import RunningServer, running

ASKED = 24
OTHERS = 32
WAYS: tuple[dict[str, Any], ...] = ({}, {"num_beams": 4})
COMPANY: tuple[dict[str, Any], ...] = (
    {},
    {"num_beams": 3, "length_penalty": 2.0},
    {"do_sample": True, "temperature": 2.0, "seed": 3, "min_new_tokens": 20, "max_new_tokens": 40},
    {"repetition_penalty": 3.0, "max_new_tokens": 30},
    {"max_new_tokens": 2},
    {"num_beams": 2, "no_repeat_ngram_size": 1, "min_new_tokens": 15, "max_new_tokens": 25},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_and_reverse(tmp_path_factory.mktemp("learnt") / "model")


@pytest.fixture(scope="module")
def reference(folder: Path) -> dict[tuple[str, int], str]:
    """What ``generate`` says, by source and number of beams."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForSeq2SeqLM

    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = {}
    for source, answer in pairs(ASKED, seed=7):
        ids = torch.tensor([tokenizer.encode(source).ids])
        for way in WAYS:
            with torch.inference_mode():
                output = model.generate(ids, attention_mask=torch.ones_like(ids), **way)
            text = tokenizer.decode(output[0].tolist(), skip_special_tokens=True)
            assert text == answer  # it has learnt its task
            found[source, way.get("num_beams", 1)] = text
    return found


@pytest.fixture(scope="module", params=["torch", "onnxruntime", "openvino"])
def server(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp(request.param)
    options = (f"--store={home / 'store'}", f"--model=copy={folder}")
    with running(home / "log", *options, f"--backend={request.param}", "--precision=fp32") as one:
        (model,) = one.wait_ready(600)["models"]
        assert model["backend"] == request.param
        yield one


def ask(server: RunningServer, source: str, given: dict[str, Any]) -> str:
    answer = server.ask("copy", source, **given)
    assert answer.status_code == 200, answer.text
    return str(answer.json()[0]["generated_text"])


def test_alone_it_answers_as_generate(
    server: RunningServer, reference: dict[tuple[str, int], str]
) -> None:
    for (source, beams), expected in reference.items():
        assert ask(server, source, {"num_beams": beams}) == expected


def test_among_32_others_it_answers_the_same(
    server: RunningServer, reference: dict[tuple[str, int], str]
) -> None:
    draw = random.Random(1)
    others = [(source, draw.choice(COMPANY)) for source, _ in pairs(2 * OTHERS, seed=9)]
    with ThreadPoolExecutor(OTHERS + 4) as clients:
        company = [clients.submit(ask, server, *other) for other in others]
        answers = {
            key: clients.submit(ask, server, key[0], {"num_beams": key[1]}) for key in reference
        }
        assert {key: answer.result() for key, answer in answers.items()} == reference
        assert all(isinstance(other.result(), str) for other in company)
