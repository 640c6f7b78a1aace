"""Embeddings and similarities: windows, prompts, dimensions, length, and the company of others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.embeddings import (
    EmbeddingItem,
    EmbeddingParameters,
    SimilarityItem,
    SimilarityParameters,
)
from contracts.errors import InputTooLong, InvalidRequest
from handlers.base import Prepared
from handlers.embeddings import even_parts
from handlers.load import load_pipeline
from handlers.pipeline import Pipeline
from handlers.several import Several
from model_store.backends.base import BackendChoice
from model_store.sources import open_source
from tests.embedders import SIZE, tiny_embedder
from tests.models import CORPUS, MAX_TOKENS

TORCH = BackendChoice(backend="torch", precision="fp32", device="cpu", threads=1)
TEXTS = [line for line in CORPUS.splitlines() if line]
LONG = " ".join(TEXTS)

Embed = Callable[..., Any]


def loaded(folder: Path, architecture: str = "bert", **options: Any) -> Pipeline:
    tiny_embedder(folder, architecture, **options)
    version = open_source("it", str(folder), cache_root=folder / "cache")
    pipeline = load_pipeline(version, TORCH)
    assert isinstance(pipeline, Pipeline)
    return pipeline


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    prompts = {"query": "the parcel: ", "document": ""}
    return loaded(tmp_path_factory.mktemp("embedder"), settings={"prompts": prompts})


@pytest.fixture(scope="module")
def embed(pipeline: Pipeline) -> Embed:
    def one(text: str, **parameters: Any) -> Any:
        [answer] = pipeline([EmbeddingItem(text, EmbeddingParameters(**parameters))])
        return answer

    return one


def test_an_embedding_is_float32_and_of_length_1_where_the_checkpoint_says_so(embed: Embed):
    vector = embed(TEXTS[0])
    assert (vector.dtype, vector.shape) == (np.float32, (SIZE,))
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    raw = embed(TEXTS[0], normalize=False)
    assert np.linalg.norm(raw) > 1.5
    np.testing.assert_allclose(raw / np.linalg.norm(raw), vector, atol=1e-6)


def test_token_ids_give_the_embedding_of_their_text(pipeline: Pipeline, embed: Embed):
    parameters = EmbeddingParameters(prompt_name="query")
    ids = pipeline.handler.tokenizer.encode([TEXTS[0]])[0].ids
    plain, prompted, unknown = pipeline(
        [
            EmbeddingItem("", EmbeddingParameters(), ids),
            EmbeddingItem("", parameters, ids),
            EmbeddingItem("", parameters, [10**6]),
        ]
    )
    np.testing.assert_allclose(plain, embed(TEXTS[0]), atol=1e-6)
    np.testing.assert_allclose(prompted, embed(TEXTS[0], prompt_name="query"), atol=1e-6)
    assert isinstance(unknown, InvalidRequest)
    assert "token id 1000000" in str(unknown)


def test_dimensions_are_the_first_ones_and_again_of_length_1(embed: Embed):
    raw = embed(TEXTS[0], normalize=False)
    np.testing.assert_array_equal(embed(TEXTS[0], normalize=False, dimensions=8), raw[:8])
    cut = embed(TEXTS[0], dimensions=8)
    assert cut.flags.c_contiguous
    np.testing.assert_allclose(cut, raw[:8] / np.linalg.norm(raw[:8]), atol=1e-6)
    refused = embed(TEXTS[0], dimensions=SIZE + 1)
    assert isinstance(refused, InvalidRequest)
    assert str(SIZE) in str(refused)


def test_a_prompt_goes_before_the_text(embed: Embed):
    asked = embed(TEXTS[0], prompt_name="query")
    np.testing.assert_allclose(asked, embed("the parcel: " + TEXTS[0]), atol=1e-6)
    np.testing.assert_allclose(embed(TEXTS[0], prompt_name="document"), embed(TEXTS[0]), atol=1e-6)
    refused = embed(TEXTS[0], prompt_name="passage")
    assert isinstance(refused, InvalidRequest)
    assert "query, document" in str(refused)


def test_the_default_prompt_is_used_where_none_is_named(tmp_path: Path):
    settings = {"prompts": {"query": "the parcel: "}, "default_prompt_name": "query"}
    pipeline = loaded(tmp_path, settings=settings)
    items = [EmbeddingItem(TEXTS[0], EmbeddingParameters(prompt_name=n)) for n in (None, "query")]
    first, second = pipeline(items)
    np.testing.assert_array_equal(first, second)


def test_texts_are_lowered_where_the_checkpoint_says_so(tmp_path: Path):
    pipeline = loaded(tmp_path, "roberta", encoder={"do_lower_case": True})
    items = [EmbeddingItem(text, EmbeddingParameters()) for text in (TEXTS[1], TEXTS[1].lower())]
    first, second = pipeline(items)
    np.testing.assert_array_equal(first, second)


def test_a_long_text_is_the_mean_of_its_windows_by_tokens(pipeline: Pipeline, embed: Embed):
    handler = pipeline.handler
    parameters = EmbeddingParameters(normalize=False, prompt_name="query")
    item = EmbeddingItem(LONG, parameters)
    [prepared] = handler.preprocess([item])
    assert isinstance(prepared, Prepared)
    assert len(prepared.rows) > 1
    assert not prepared.truncated
    assert all(len(row) <= MAX_TOKENS for row in prepared.rows)
    prompt = handler.tokenizer.encode(["the parcel: "])[0].ids
    whole = handler.tokenizer.encode(["the parcel: " + LONG])[0].ids
    read = []
    for row in prepared.rows:
        assert row.input_ids[1 : 1 + len(prompt)] == prompt
        read += row.input_ids[1 + len(prompt) : -1]
    assert prompt + read == whole
    outputs = [pipeline.run([row], pipeline.padded_length(row))[0] for row in prepared.rows]
    weights = [len(row) for row in prepared.rows]
    vectors = [output["embeddings"] for output in outputs]
    mean = np.average(vectors, axis=0, weights=weights)
    np.testing.assert_allclose(embed(LONG, normalize=False, prompt_name="query"), mean, atol=1e-5)


def test_a_long_text_is_cut_or_refused_where_that_is_asked(pipeline: Pipeline, embed: Embed):
    assert isinstance(embed(LONG, long="error"), InputTooLong)
    ids = pipeline.handler.tokenizer.encode([LONG])[0].ids
    room = pipeline.handler.tokenizer.room()
    for direction, kept in (("right", ids[:room]), ("left", ids[-room:])):
        asked = EmbeddingParameters(truncate=True, truncation_direction=direction)
        [prepared] = pipeline.handler.preprocess([EmbeddingItem(LONG, asked)])
        assert isinstance(prepared, Prepared)
        assert prepared.truncated
        [row] = prepared.rows
        assert row.input_ids[1:-1] == kept
    np.testing.assert_array_equal(embed(LONG, truncate=True), embed(LONG, long="truncate"))
    np.testing.assert_array_equal(embed(LONG, truncate=False), embed(LONG))


def test_a_cut_on_the_left_leaves_the_prompt(pipeline: Pipeline):
    asked = EmbeddingParameters(truncate=True, truncation_direction="left", prompt_name="query")
    [prepared] = pipeline.handler.preprocess([EmbeddingItem(LONG, asked)])
    assert isinstance(prepared, Prepared)
    prompt = pipeline.handler.tokenizer.encode(["the parcel: "])[0].ids
    [row] = prepared.rows
    assert row.input_ids[1 : 1 + len(prompt)] == prompt
    assert len(row) == MAX_TOKENS


def test_similarity_is_the_cosine_of_the_embeddings(pipeline: Pipeline, embed: Embed):
    sentences = (*TEXTS[1:5], TEXTS[0], TEXTS[1], LONG)
    item = SimilarityItem(TEXTS[0], sentences, SimilarityParameters())
    [answer] = pipeline([item])
    expected = [float(embed(TEXTS[0]) @ embed(one)) for one in sentences]
    assert answer == pytest.approx(expected, abs=1e-5)
    assert answer[4] == pytest.approx(1, abs=1e-6)
    assert answer[0] == answer[5]
    [prepared] = pipeline.handler.preprocess([item])
    assert isinstance(prepared, Prepared)
    assert prepared.windows is not None
    assert 1 < prepared.windows < len(prepared.rows)


def test_one_bad_item_is_refused_alone_among_both_kinds(pipeline: Pipeline):
    assert isinstance(pipeline.handler, Several)
    good, bad = SimilarityParameters(), SimilarityParameters(prompt_name="no")
    items = [
        EmbeddingItem(TEXTS[0], EmbeddingParameters(dimensions=1000)),
        SimilarityItem(TEXTS[0], (TEXTS[1],), good),
        EmbeddingItem(TEXTS[0], EmbeddingParameters()),
        SimilarityItem(TEXTS[0], (TEXTS[1],), bad),
    ]
    first, second, third, fourth = pipeline(items)
    assert isinstance(first, InvalidRequest)
    assert isinstance(fourth, InvalidRequest)
    assert len(second) == 1
    assert third.shape == (SIZE,)


def test_an_answer_does_not_depend_on_company(pipeline: Pipeline):
    items: list[Any] = [EmbeddingItem(text, EmbeddingParameters()) for text in (*TEXTS, LONG)]
    items += [SimilarityItem(TEXTS[0], tuple(TEXTS[:3]), SimilarityParameters())]
    together = pipeline(items)
    for item, answer in zip(items, together, strict=True):
        [alone] = pipeline([item])
        assert np.abs(np.array(alone) - np.array(answer)).max() < 1e-5


def test_even_parts_cover_every_token_once():
    for tokens in range(1, 200):
        parts = even_parts(tokens, 17)
        assert [i for start, end in parts for i in range(start, end)] == list(range(tokens))
        sizes = [end - start for start, end in parts]
        assert max(sizes) <= 17
        assert max(sizes) - min(sizes) <= 1
        assert len(parts) == -(-tokens // 17)
