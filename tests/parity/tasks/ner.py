"""Token classification: every strategy on every text, with four tokenizer families."""

from pathlib import Path
from typing import Any

from contracts.tasks import Task
from tests.models import tiny_checkpoint
from tests.parity.texts import TEXTS

STRATEGIES = ("none", "simple", "first", "average", "max")
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")
MODELS: dict[str, dict[str, Any]] = {
    "ner-bert-uncased": {"architecture": "bert", "seed": 1},
    # A label without a prefix: transformers reads it as a continuation.
    "ner-bert-cased": {
        "architecture": "bert",
        "seed": 2,
        "cased": True,
        "labels": ("B-PER", "I-PER", "O", "MISC", "I-LOC"),
    },
    "ner-roberta": {"architecture": "roberta", "seed": 3},
    "ner-xlm-roberta": {"architecture": "xlm-roberta", "seed": 4},
    "ner-albert": {"architecture": "albert", "seed": 5},
}
IGNORED: tuple[list[str], ...] = ([], ["O", "PER", "B-LOC"])
LONG = " ".join(TEXTS)


def build(folder: Path, name: str) -> Path:
    """The checkpoint, made where it is missing: O is likely, so that entities stand apart."""
    path = folder / name
    if not (path / "model.safetensors").exists():
        tiny_checkpoint(path, task=Task.TOKEN_CLASSIFICATION, **{"labels": LABELS} | MODELS[name])
        _make_outside_likely(path)
    return path


def record(folder: Path) -> dict[str, Any]:
    """Answers by model, text and parameters: ``[label, score, start, end]`` each."""
    from transformers import pipeline

    cases: list[dict[str, Any]] = []
    for name in MODELS:
        ner = pipeline("token-classification", model=str(build(folder, name)), device="cpu")
        runs = [(text, strategy, ["O"]) for text in TEXTS for strategy in STRATEGIES]
        runs += [
            (text, strategy, ignored)
            for text in TEXTS[:3]
            for strategy in STRATEGIES
            for ignored in IGNORED
        ]
        runs += [(LONG, "simple", ["O"]), (LONG, "none", ["O"])]
        for text, strategy, ignored in runs:
            found = ner(text, aggregation_strategy=strategy, ignore_labels=ignored)
            cases.append(
                {
                    "text": text,
                    "model": name,
                    "strategy": strategy,
                    "ignore_labels": ignored,
                    "entities": [
                        [
                            one.get("entity_group") or one["entity"],
                            round(float(one["score"]), 7),
                            one["start"],
                            one["end"],
                            *([one["index"]] if "index" in one else []),
                        ]
                        for one in found
                    ],
                }
            )
    return {"cases": cases}


def _make_outside_likely(path: Path) -> None:
    """Raise the bias of O until about half of the texts' tokens get it, none of them narrowly."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    model = AutoModelForTokenClassification.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    outside = model.config.label2id["O"]
    with torch.no_grad():
        logits = torch.cat(
            [model(**tokenizer(text, return_tensors="pt")).logits[0, 1:-1] for text in TEXTS]
        )
    others = logits.clone()
    others[:, outside] = -torch.inf
    weights = load_file(path / "model.safetensors")
    needed = (others.amax(1) - logits[:, outside]).sort().values
    middle = needed[len(needed) * 45 // 100 : len(needed) * 55 // 100]
    widest = int(middle.diff().argmax())
    weights["classifier.bias"][outside] += middle[widest : widest + 2].mean()
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
