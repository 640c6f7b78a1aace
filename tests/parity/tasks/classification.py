"""Text classification: single label, multi-label, regression and one label, texts and pairs."""

from itertools import product
from pathlib import Path
from typing import Any

from contracts.tasks import Task
from tests.models import tiny_checkpoint
from tests.parity.texts import PAIRS, TEXTS

MODELS: dict[str, dict[str, Any]] = {
    "cls-bert": {"architecture": "bert", "seed": 11, "problem_type": None},
    "cls-roberta-multi": {
        "architecture": "roberta",
        "seed": 12,
        "problem_type": "multi_label_classification",
    },
    "cls-xlmr-regression": {
        "architecture": "xlm-roberta",
        "seed": 13,
        "labels": ("score",),
        "problem_type": "regression",
    },
    "cls-bert-one": {"architecture": "bert", "seed": 14, "labels": ("spam",)},
}
FUNCTIONS = (None, "softmax", "sigmoid", "none")
TOP_K = (1, 2, 5)
LONG = " ".join(TEXTS)


def build(folder: Path, name: str) -> Path:
    """The checkpoint, made where it is missing."""
    path = folder / name
    if not (path / "model.safetensors").exists():
        tiny_checkpoint(path, task=Task.TEXT_CLASSIFICATION, **MODELS[name])
    return path


def record(folder: Path) -> dict[str, Any]:
    """Answers by model, text (or pair) and parameters: ``[label, score]`` each, best first."""
    from transformers import pipeline

    cases: list[dict[str, Any]] = []
    for name in MODELS:
        classify = pipeline("text-classification", model=str(build(folder, name)), device="cpu")
        runs: list[tuple[str, str | None, str | None, int | None]]
        runs = [(text, None, None, None) for text in TEXTS]
        runs += [(*pair, None, None) for pair in PAIRS]
        runs += [(text, None, *rest) for text in TEXTS[:2] for rest in product(FUNCTIONS, TOP_K)]
        runs += [(LONG, None, None, None), (LONG, TEXTS[1], None, None)]
        runs += [(TEXTS[1], LONG, None, None), (LONG, LONG[40:], None, None)]
        for text, pair, function, top_k in runs:
            inputs = text if pair is None else {"text": text, "text_pair": pair}
            found = classify(inputs, top_k=top_k, function_to_apply=function, truncation=True)
            cases.append(
                {
                    "text": text,
                    "text_pair": pair,
                    "model": name,
                    "function_to_apply": function,
                    "top_k": top_k,
                    "answer": [[one["label"], round(one["score"], 7)] for one in found],
                }
            )
    return {"cases": cases}
