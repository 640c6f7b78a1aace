"""Fill-mask: transformers' answers, one row per mask, and few numbers kept."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from contracts.errors import CheckpointError, InputTooLong, InvalidRequest
from contracts.fill_mask import FillMaskItem, FillMaskParameters
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.fill_mask import MAX_MASKS, FillMaskHandler
from handlers.load import load_pipeline
from handlers.pipeline import Pipeline
from handlers.tokenization import TextTokenizer
from model_store.backends.base import BackendChoice
from model_store.sources import open_source
from tests.models import ARCHITECTURES, CORPUS, tiny_checkpoint

TORCH = BackendChoice(backend="torch", precision="fp32", device="cpu", threads=1)
LONG = " ".join(CORPUS.split())


@cache
def masked(architecture: str) -> tuple[Path, Pipeline, str]:
    """A checkpoint, its pipeline, and what it calls a mask."""
    folder = tiny_checkpoint(Path(mkdtemp()), architecture, Task.FILL_MASK)
    pipeline = load_pipeline(open_source("m", str(folder), cache_root=folder / "cache"), TORCH)
    assert isinstance(pipeline, Pipeline)
    assert pipeline.handler.tokenizer.mask is not None
    return folder, pipeline, pipeline.handler.tokenizer.mask


def item(text: str, **parameters: Any) -> FillMaskItem:
    return FillMaskItem(text, FillMaskParameters(**parameters))


@pytest.fixture
def ask() -> Callable[..., Any]:
    def one(text: str, **parameters: Any) -> Any:
        [answer] = masked("bert")[1]([item(text, **parameters)])
        return answer

    return one


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_proposals_are_those_of_transformers(architecture: str):
    from transformers import pipeline as reference

    folder, pipeline, mask = masked(architecture)
    theirs = reference("fill-mask", model=str(folder), device="cpu")
    texts = [
        f"the quick brown {mask} jumps over the lazy dog.",
        f"My {mask} has not arrived; please {mask} the money.",
        f"{mask} you",
    ]
    for options in ({"top_k": 3}, {"targets": ["dog", "unbelievably", "money"], "top_k": 9}):
        answers = pipeline([item(text, **options) for text in texts])
        for text, answer in zip(texts, answers, strict=True):
            expected: Any = theirs(text, **options)
            if text.count(mask) == 1:
                answer, expected = [answer], [expected]
            for mine, other in zip(answer, expected, strict=True):
                scores = [one.pop("score") for one in other]
                assert [one["score"] for one in mine] == pytest.approx(scores, abs=1e-5)
                assert [{k: v for k, v in one.items() if k != "score"} for one in mine] == other


def test_only_the_proposals_of_a_row_are_kept():
    _, pipeline, mask = masked("bert")
    [prepared] = pipeline.handler.preprocess([item(f"a {mask} b {mask}", top_k=4)])
    assert isinstance(prepared, Prepared)
    rows = prepared.rows
    assert [row.mask_position for row in rows] == [2, 4]  # type: ignore[attr-defined]
    for output in pipeline.run(rows, 16):
        assert {name: array.shape for name, array in output.items()} == {
            "tokens": (4,),
            "scores": (4,),
        }


def test_a_target_outside_the_vocabulary_is_its_first_token(ask: Callable[..., Any]):
    mask = masked("bert")[2]
    [known] = ask(f"the {mask}", targets=["un"], top_k=1)
    [first] = ask(f"the {mask}", targets=["unzz"], top_k=1)
    assert first == known


def test_every_mask_of_a_long_text_is_read_in_the_window_around_it(ask: Callable[..., Any]):
    _, pipeline, mask = masked("bert")
    middle = len(LONG) // 2
    text = f"{mask} {LONG[:middle]} {mask} {LONG[middle:]} {mask}"
    assert isinstance(ask(text), InputTooLong)
    [prepared] = pipeline.handler.preprocess([item(text, long="window")])
    assert isinstance(prepared, Prepared)
    assert prepared.windows == 3
    for row in prepared.rows:
        assert len(row) == pipeline.handler.manifest.max_tokens
        assert row.input_ids[row.mask_position] == pipeline.handler.tokenizer.raw.token_to_id(mask)  # type: ignore[attr-defined]
    answer = ask(text, long="window")
    assert [len(one) for one in answer] == [5, 5, 5]
    assert answer[0][0]["sequence"].count(mask) == 2
    assert len(ask(text, long="truncate")) == 5  # one mask is left


def test_what_cannot_be_filled_is_said(ask: Callable[..., Any]):
    mask = masked("bert")[2]
    for text, parameters, said in (
        ("no hole", {}, f"write {mask}"),
        (f"{LONG} {mask}", {"long": "truncate"}, "what is left"),
        (mask * (MAX_MASKS + 1), {}, str(MAX_MASKS)),
    ):
        answer = ask(text, **parameters)
        assert isinstance(answer, InvalidRequest)
        assert said in str(answer)


def test_a_tokenizer_without_a_mask_is_refused():
    _, pipeline, _ = masked("bert")
    tokenizer = pipeline.handler.tokenizer
    bare = TextTokenizer(tokenizer.raw, tokenizer.max_tokens, tokenizer.pad_id)
    with pytest.raises(CheckpointError, match="no mask token"):
        FillMaskHandler(pipeline.handler.manifest, bare)


def test_an_answer_does_not_depend_on_company():
    _, pipeline, mask = masked("bert")
    words = LONG.split()[:40]
    items = [
        item(" ".join([*words[:n], mask, *words[n + 1 :]]), top_k=1 + n % 4) for n in range(30)
    ]
    together = pipeline(items)
    for one, answer in zip(items, together, strict=True):
        [alone] = pipeline([one])
        assert [each["token"] for each in alone] == [each["token"] for each in answer]
        scores = [each["score"] for each in answer]
        assert [each["score"] for each in alone] == pytest.approx(scores, abs=1e-5)
