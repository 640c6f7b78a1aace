"""Handlers around a backend whose logits are looked up by token id: exact, and without context."""

from pathlib import Path

import numpy as np

from contracts.schemas import ClassificationItem, ClassificationParameters, NerItem, NerParameters
from contracts.tasks import Task
from contracts.tensors import Tensors
from handlers.base import Handler
from handlers.load import load_handler
from handlers.pipeline import Pipeline
from handlers.tokenization import TextTokenizer
from model_store.manifest import Manifest
from tests.models import tiny_tokenizer


class LookupBackend:
    """Token logits are a row of a seeded table; text logits the mean of its tokens' rows."""

    name, precision, device = "fake", "fp32", "cpu"
    input_names = frozenset({"input_ids", "attention_mask"})
    bytes = 0
    batchable = True

    def __init__(self, vocab: int, labels: int, per_token: bool) -> None:
        generator = np.random.default_rng(7)
        self.table = generator.normal(0, 3, (vocab, labels)).astype(np.float32)
        self.per_token = per_token

    def run(self, inputs: Tensors) -> Tensors:
        logits = self.table[inputs["input_ids"]]
        if not self.per_token:
            mask = inputs["attention_mask"][..., None]
            # Summed in float64 and rounded, so that padding leaves no trace.
            mean = (logits.astype(np.float64) * mask).sum(1) / mask.sum(1)
            logits = mean.round(5).astype(np.float32)
        return {"logits": logits}

    def close(self) -> None: ...


def lookup_pipeline(
    folder: Path,
    architecture: str,
    task: Task,
    labels: list[str],
    max_tokens: int = 128,
    problem_type: str | None = None,
) -> Pipeline:
    """A pipeline on a tiny tokenizer and a ``LookupBackend``."""
    if not (folder / "tokenizer.json").exists():
        tiny_tokenizer(folder, architecture)
    tokenizer = TextTokenizer.load(folder, max_tokens)
    manifest = Manifest(
        task=task,
        architecture="Tiny",
        labels=labels,
        max_tokens=max_tokens,
        problem_type=problem_type,
    )
    handler: Handler[object, object] = load_handler(manifest, tokenizer)
    vocab = tokenizer.raw.get_vocab_size()
    return Pipeline(handler, LookupBackend(vocab, len(labels), handler.per_token))


def classify(text: str, pair: str | None = None, **parameters: object) -> ClassificationItem:
    """An item with the parameters that are named."""
    return ClassificationItem(text, pair, ClassificationParameters.model_validate(parameters))


def tag(text: str, **parameters: object) -> NerItem:
    """An item with the parameters that are named."""
    return NerItem(text, NerParameters.model_validate(parameters))
