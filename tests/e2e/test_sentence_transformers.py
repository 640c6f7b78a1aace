"""The same numbers as sentence-transformers: 1,000 embeddings of the packaged MiniLM, and ranks."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from contracts.embeddings import EmbeddingItem, EmbeddingParameters
from contracts.tasks import Task
from contracts.tensors import Array
from handlers.load import load_pipeline
from model_store.backends.base import BackendChoice
from model_store.copying import copy_checkpoint
from model_store.manifest import Manifest
from model_store.sources import open_source
from model_store.store import Store
from tests.embedders import SIZE, tiny_embedder
from tests.models import CORPUS, tiny_checkpoint
from tests.running import RunningServer, running
from train.artifacts import ONNX_FP32, export_fp32
from train.base_model import find_base
from train.unlabelled import compress_unlabelled

pytestmark = pytest.mark.filterwarnings("ignore")
ROOT = Path(__file__).parents[2]
LINES = [line for line in CORPUS.splitlines() if line]


def read_texts() -> list[str]:
    with (ROOT / "examples" / "intent" / "train.csv").open(newline="") as file:
        rows = [row["text"] for row in csv.DictReader(file)]
    chosen = list(dict.fromkeys(text for text in rows if text.strip()))[:: len(rows) // 1000]
    # Short, long (below the 256 tokens at which sentence-transformers cuts), and other scripts.
    return [*chosen[: 1000 - 2 * len(LINES)], *LINES, *(f"{line} {line}" for line in LINES)]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    found = read_texts()
    assert len(found) == 1000
    return found


@pytest.fixture(scope="module")
def expected(texts: list[str]) -> Array:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(find_base("minilm"), device="cpu")
    return np.asarray(model.encode(texts, show_progress_bar=False))


@pytest.fixture(scope="module")
def store(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM from its unmodified folder, with its fp32 and int8 graphs."""
    root = tmp_path_factory.mktemp("minilm")
    plain = open_source("minilm", find_base("minilm"), cache_root=root)

    def build(folder: Path) -> Manifest:
        manifest = copy_checkpoint(plain, folder)
        export_fp32(folder, manifest.task)
        int8, (_, found) = compress_unlabelled(plain, folder, manifest, texts[::2])
        assert found.verified
        artifacts = [*manifest.artifacts, ONNX_FP32, int8.model_copy(update={"verified": True})]
        return manifest.model_copy(update={"artifacts": artifacts})

    Store(root / "store").publish("minilm", build)
    return root / "store"


@pytest.mark.parametrize(
    ("backend", "precision", "cosine"),
    [
        ("torch", "fp32", 0.9999),
        ("onnxruntime", "fp32", 0.9999),
        ("openvino", "fp32", 0.9999),
        ("onnxruntime", "int8", 0.99),
    ],
)
def test_a_thousand_embeddings_are_those_of_sentence_transformers(
    store: Path, texts: list[str], expected: Array, backend: Any, precision: Any, cosine: float
):
    version = Store(store).resolve("minilm")
    pipeline = load_pipeline(version, BackendChoice(backend, precision, "cpu"))
    answers: list[Any] = pipeline([EmbeddingItem(text, EmbeddingParameters()) for text in texts])
    pipeline.close()
    cosines = (np.stack(answers) * expected).sum(axis=1)
    print(f"{backend} {precision}: {cosines.mean():.4f} on average, {cosines.min():.4f} at least")
    assert cosines.min() >= cosine


@pytest.fixture(scope="module")
def server(
    store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningServer, Path]]:
    root = tmp_path_factory.mktemp("rerank")
    reranker = tiny_checkpoint(root / "rerank", "bert", Task.TEXT_CLASSIFICATION, ("relevance",))
    flags = (f"--store={store}", "--precision=fp32", "--backend=torch")
    with running(root / "log", *flags, f"--model=rerank={reranker}") as one:
        one.wait_ready()
        yield one, reranker


def test_the_server_answers_the_same(
    server: tuple[RunningServer, Path], texts: list[str], expected: Array
):
    body = {"inputs": texts[::4]}
    answer = httpx.post(f"{server[0].url}/models/minilm", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    assert (np.array(answer.json()) * expected[::4]).sum(axis=1).min() >= 0.9999


def test_reranking_gives_the_order_and_the_scores_of_a_cross_encoder(
    server: tuple[RunningServer, Path],
):
    from sentence_transformers import CrossEncoder

    running_server, folder = server
    model = CrossEncoder(str(folder), device="cpu")
    documents = [*LINES, *(line[: len(line) // 2] for line in LINES), "refund"]
    for query in ("Where is my parcel?", "Who was born in Honolulu?", LINES[3]):
        ranks = model.rank(query, documents, show_progress_bar=False)
        body = {"query": query, "texts": documents, "truncate": True}
        found = httpx.post(f"{running_server.url}/tei/rerank/rerank", json=body).json()
        assert [one["index"] for one in found] == [one["corpus_id"] for one in ranks]
        scores = [one["score"] for one in ranks]
        assert [one["score"] for one in found] == pytest.approx(scores, abs=1e-5)


PROMPTS = {"query": "the parcel: ", "document": ""}


@pytest.mark.parametrize("architecture", ["bert", "roberta", "mpnet", "modernbert"])
@pytest.mark.parametrize(
    "options",
    [
        {"pooling": {"embedding_dimension": SIZE, "pooling_mode": "cls"}},
        {"pooling": {"embedding_dimension": SIZE, "pooling_mode": ["max", "lasttoken"]}},
        {"pooling": {"word_embedding_dimension": SIZE, "pooling_mode_weightedmean_tokens": True}},
        {
            "dense": {
                "in_features": SIZE,
                "out_features": 8,
                "bias": True,
                "activation_function": "torch.nn.modules.activation.Tanh",
            },
            "normalize": False,
        },
        {"settings": {"prompts": PROMPTS, "default_prompt_name": "query"}},
        {"encoder": {"max_seq_length": 24, "do_lower_case": True}},
    ],
    ids=["cls", "joined", "weighted", "dense", "prompt", "short"],
)
def test_every_kind_of_module_gives_its_embeddings(
    architecture: str, options: dict[str, Any], tmp_path: Path
):
    from sentence_transformers import SentenceTransformer

    folder = tiny_embedder(tmp_path / "it", architecture, **options)
    theirs = SentenceTransformer(str(folder), device="cpu")
    version = open_source("it", str(folder), cache_root=tmp_path / "cache")
    pipeline = load_pipeline(version, BackendChoice("torch", "fp32", "cpu"))
    parameters = EmbeddingParameters(truncate=True)
    answers: list[Any] = pipeline([EmbeddingItem(text, parameters) for text in LINES])
    np.testing.assert_allclose(np.stack(answers), theirs.encode(LINES), atol=2e-5)


def test_a_decoder_embeds_by_its_last_token(tmp_path: Path):
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoConfig, AutoModel

    pooling = {"embedding_dimension": SIZE, "pooling_mode": "lasttoken"}
    folder = tiny_embedder(tmp_path / "it", "roberta", pooling=pooling)
    encoder = AutoConfig.from_pretrained(folder)
    decoder = AutoConfig.for_model(
        "qwen3",
        vocab_size=encoder.vocab_size,
        hidden_size=SIZE,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=128,
        pad_token_id=encoder.pad_token_id,
    )
    torch.manual_seed(0)
    AutoModel.from_config(decoder).save_pretrained(folder)
    expected = SentenceTransformer(str(folder), device="cpu").encode(LINES)
    version = open_source("it", str(folder), cache_root=tmp_path / "cache")
    items = [EmbeddingItem(text, EmbeddingParameters(truncate=True)) for text in LINES]
    for backend in ("torch", "onnxruntime"):
        pipeline = load_pipeline(version, BackendChoice(backend, "fp32", "cpu"))
        answers: list[Any] = pipeline(items)
        np.testing.assert_allclose(np.stack(answers), expected, atol=2e-5)
