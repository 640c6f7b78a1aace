"""Tiny training runs: a tiny base encoder, a few dozen examples, a few steps."""

import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from contracts.tasks import Task
from model_store.store import Store
from model_store.version import ModelVersion
from tests.copy_and_reverse import copy_and_reverse_tokenizer, pairs, untrained_bart
from tests.models import tiny_checkpoint
from train.recipe_file import load_recipe
from train.run import train

PLACES = ("Paris", "Berlin", "Hamburg", "Honolulu", "Chicago", "Hawaii")
NAMES = ("Angela", "Barack", "Obama", "Merkel")


LEARNING_RATES = {
    **{"classification": 2e-3, "ner": 5e-3, "qa": 1e-3, "summary": 1e-3},
    "generation": 4e-3,
}
"""What the tiny base learns at, task by task."""


def tiny_base(folder: Path, task: str = "classification") -> Path:
    if task == "generation":
        tokenizer = copy_and_reverse_tokenizer(folder)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            untrained_bart(tokenizer.get_vocab_size()).save_pretrained(folder)
        return folder
    return tiny_checkpoint(folder, "bert", Task.TEXT_CLASSIFICATION, scale=1.0)


def write_recipe(folder: Path, task: str, train_file: str, more: str = "", **optim: Any) -> Path:
    """A recipe beside its data; ``more`` is TOML that goes into or after the data section.

    A handful of dev examples cannot show that a model beats the commonest answer, so that is not
    asked; override ``gates.min_gain`` where it matters.
    """
    tiny_base(folder / "base", task)
    settings = {"lr": LEARNING_RATES[task], "epochs": 2, "batch_rows": 8, "bf16": "false", **optim}
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
    path = folder / "recipe.toml"
    path.write_text(
        f"[gates]\nmin_gain = -1000\n[optim]\n{lines}\n"
        f'[model]\nname = "tiny"\nbase = "base"\ntask = "{task}"\n'
        f'[data]\ntrain = "{train_file}"\n{more}\n'
    )
    return path


def run(recipe: Path, store: Path, *overrides: str) -> ModelVersion:
    console = Console(quiet=True)
    version = train(
        load_recipe(recipe, overrides), Store(store), command="tuneserve train", console=console
    )
    assert version is not None
    return version


def write_classification(folder: Path) -> str:
    lines = ["text,label"]
    for index in range(48):
        word, label = (("refund", "money"), ("parcel", "delivery"))[index % 2]
        lines.append(f'"please, my {word} number {index}",{label}')
    (folder / "train.csv").write_text("\n".join(lines))
    return "train.csv"


def write_ner(folder: Path) -> str:
    blocks = []
    for index in range(24):
        name, place = NAMES[index % 4], PLACES[index % 6]
        blocks.append(
            f"{name}\tB-PER\nvisited\tO\nNew\tB-LOC\nYork\tI-LOC\nand\tO\n{place}\tB-LOC\n.\tO\n"
        )
    (folder / "train.conll").write_text("\n".join(blocks))
    return "train.conll"


def write_qa(folder: Path, *, impossible: bool = True) -> str:
    paragraphs = []
    for index in range(16):
        name, place = NAMES[index % 4], PLACES[index % 6]
        context = f"{name} visited {place} before the shop opened in München."
        qas: list[dict[str, Any]] = [
            {
                "id": str(index),
                "question": f"Where was {name}?",
                "answers": [{"text": place, "answer_start": context.index(place)}],
            }
        ]
        if impossible and index % 4 == 0:
            qas.append({"id": "x", "question": "Who?", "is_impossible": True, "answers": []})
        paragraphs.append({"context": context, "qas": qas})
    content = {"version": "2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}
    (folder / "train.json").write_text(json.dumps(content))
    return "train.json"


def write_summary(folder: Path) -> str:
    lines = []
    for index in range(16):
        key = f"The refund of {index} went to {PLACES[index % 6]}."
        other = ["The shop is open.", f"My parcel waits in {PLACES[index % 5]}."]
        where = index % 3
        sentences = [*other[:where], key, *other[where:]]
        labels = [int(sentence == key) for sentence in sentences]
        lines.append(json.dumps({"sentences": sentences, "labels": labels}))
    (folder / "train.jsonl").write_text("\n".join(lines))
    return "train.jsonl"


def write_generation(folder: Path, count: int = 24) -> str:
    """Words to copy or to reverse; few of them, and four at most."""
    lines = []
    for source, target in pairs(count, seed=7, longest=4):
        lines.append(json.dumps({"source": source, "target": target}))
    (folder / "train.jsonl").write_text("\n".join(lines))
    return "train.jsonl"


WRITERS = {
    "classification": write_classification,
    "ner": write_ner,
    "qa": write_qa,
    "summary": write_summary,
    "generation": write_generation,
}
