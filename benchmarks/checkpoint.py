"""The models that are measured: MiniLM with a head of random weights, published as training would.

Speed does not depend on what a head has learnt, so nothing is trained. The version has the
artifacts that the product would have: safetensors, fp32 ONNX and static int8, calibrated on texts
like those that are sent. The int8 one is marked as verified, so that ``auto`` may choose it as it
would after the gate; its answers mean as little as those of fp32.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.texts import MIXED, text_set, whole_words
from contracts.bodies import BODIES
from contracts.tasks import Task
from handlers.load import load_handler
from handlers.tokenization import TextTokenizer
from model_store.derive import derive_manifest
from model_store.manifest import Manifest
from model_store.store import Store
from model_store.version import ModelVersion
from train.artifacts import compress_int8, export_fp32
from train.base_model import MINILM, find_base, save_tokenizer
from train.recipe_model import Model

LABELS = {
    Task.TEXT_CLASSIFICATION: 77,
    Task.TOKEN_CLASSIFICATION: 9,
    Task.QUESTION_ANSWERING: 2,
}
CLASSES = {
    Task.TEXT_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.TOKEN_CLASSIFICATION: "AutoModelForTokenClassification",
    Task.QUESTION_ANSWERING: "AutoModelForQuestionAnswering",
}
OUTSIDE = 1.0
"""Added to the logit of "O": most tokens are no entity, as in real texts."""
WINDOWS = {"long": "window"}
"""Parameters of a request whose text may be longer than the model takes."""
CALIBRATION_TEXTS = 100
SEED = 7


def published(
    store: Path, task: Task = Task.TEXT_CLASSIFICATION, base: Path | None = None
) -> ModelVersion:
    """The model of a task in the store, named after it; made and published if it is not there.

    Args:
        store: folder of a model store.
        task: chooses the head.
        base: a plain checkpoint folder to publish instead of MiniLM with a random head.
    """
    store.mkdir(parents=True, exist_ok=True)
    home = Store(store)
    if (store / task.value).is_dir():
        return home.resolve(task.value)
    return home.publish(task.value, lambda folder: build(folder, task, base))


def build(folder: Path, task: Task, base: Path | None = None) -> Manifest:
    """Fill an empty folder with a checkpoint and its artifacts."""
    if base is None:
        random_head(folder, task)
    else:
        shutil.copytree(base, folder, dirs_exist_ok=True)
    manifest = derive_manifest(folder)
    handler = load_handler(manifest, TextTokenizer.load(folder, manifest.max_tokens))
    words = whole_words(folder)
    most = min(manifest.max_tokens, 256)
    typical = items(task, text_set(MIXED, words, CALIBRATION_TEXTS, SEED, most))
    export = export_fp32(folder, task)
    int8 = compress_int8(folder / export.path, folder, handler, typical, CALIBRATION_TEXTS)
    made = [one.model_copy(update={"verified": True}) for one in (export, int8)]
    return manifest.model_copy(update={"artifacts": [*manifest.artifacts, *made]})


def random_head(folder: Path, task: Task) -> None:
    """MiniLM with a seeded head, as a plain checkpoint folder."""
    import torch
    import transformers

    from train.base_model import quiet_transformers

    torch.manual_seed(0)
    names = [f"label_{number}" for number in range(LABELS[task])]
    if task is Task.TOKEN_CLASSIFICATION:
        names = ["O", *(f"{part}-T{number}" for number in range(4) for part in "BI")]
    with quiet_transformers():
        model = getattr(transformers, CLASSES[task]).from_pretrained(
            find_base(MINILM),
            id2label=dict(enumerate(names)),
            label2id={name: index for index, name in enumerate(names)},
            dtype="float32",
        )
        if task is Task.TOKEN_CLASSIFICATION:
            model.classifier.bias.data[0] += OUTSIDE
        model.save_pretrained(folder)
    save_tokenizer(Model(name="bench", task=task, base=MINILM), folder)


def inputs_of(task: Task, texts: Sequence[str]) -> list[Any]:
    """What ``inputs`` of a request is for each text; a question is put to each."""
    if task is Task.QUESTION_ANSWERING:
        return [{"question": "what is it about", "context": text} for text in texts]
    return list(texts)


def items(task: Task, texts: Sequence[str]) -> list[Any]:
    """What a handler takes; long texts are read in windows."""
    body = {"inputs": inputs_of(task, texts), "parameters": WINDOWS}
    return list(BODIES[task].model_validate(body).items())
