"""The recipe: all that decides how a model is made, read from TOML, checked before work starts.

Relative paths are relative to the recipe's own folder. Every number has its reason beside it.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from train.callbacks.choice import CallbackChoice
from train.data.hub import is_hub, portable_hub
from train.recipe_model import Model, Part

Format = Literal["csv", "tsv", "jsonl", "parquet", "conll", "squad"]
TagScheme = Literal["io", "iob1", "bio", "bioes"]


FIT = ("seed", "model", "data", "optim", "early_stopping", "callbacks")
"""The parts of a recipe that decide which weights come out."""


class Data(Part):
    """Where the examples are and how they are written down.

    Each of the three parts is a file, or ``hub:owner/name:split``.
    """

    train: Path
    dev: Path | None = Field(
        default=None, description="Default: a seeded, stratified share of train."
    )
    test: Path | None = Field(default=None, description="Used once, for the report.")
    dir: Path | None = Field(default=None, description="Folder that the three are relative to.")
    source: str | None = Field(default=None, description="Where the files come from.")
    licence: str | None = Field(default=None, description="What may be done with them.")
    sha256: dict[Literal["train", "dev", "test"], str] = Field(
        default={}, description="Of the files; another file is refused."
    )
    subset: str | None = Field(default=None, description="Of a hub dataset: its configuration.")
    revision: str | None = Field(default=None, description="Of a hub dataset; default: newest.")
    format: Format | None = Field(default=None, description="Default: by the file's ending.")
    dev_share: float = Field(default=0.1, gt=0, lt=1)
    columns: list[str] | None = Field(
        default=None, description="Column names of a CSV or TSV file that has no header."
    )
    text: str = "text"
    text_pair: str | None = None
    label: str | None = Field(
        default=None, description='Default: "label"; "labels" for marked sentences.'
    )
    label_separator: str | None = Field(
        default=None, description="Splits a label column into several labels (multi-label)."
    )
    label_names: list[str] | None = Field(
        default=None, description="Names of labels that are written as numbers, from 0."
    )
    tags: Literal["strict", "repair"] = Field(
        default="strict", description="Entities: refuse tags that break their scheme, or read on."
    )
    tag_scheme: TagScheme | None = Field(default=None, description="Default: read off each file.")
    tag_digits: Literal["keep", "drop"] = Field(
        default="keep", description="Drop: PER1 and PER2 are two entities of type PER."
    )
    sentences: str = Field(default="sentences", description="Summaries: a list of sentences,")
    document: str = Field(default="document", description="or the whole text,")
    summary: str = Field(default="summary", description="and what a person made of it.")
    input: str = Field(default="source", description="Generation: a text, or a list of sentences,")
    target: str = Field(
        default="target", description="and its answer, or several: the first is learnt from."
    )
    dev_generations: int = Field(
        default=100, ge=1, description="Generation: dev examples that are answered per epoch."
    )
    max_train: int | None = Field(default=None, ge=1, description="Use the first n, for a trial.")


class Optim(Part):
    """How the weights move."""

    name: Literal["adamw", "adam", "sgd", "adafactor"] = "adamw"
    lr: float = Field(default=1e-4, gt=0, description="1e-4 suits small encoders; 3e-5 large ones.")
    epochs: float = Field(default=3, gt=0)
    batch_rows: int = Field(default=32, ge=1)
    batch_tokens: int = Field(
        default=8192, ge=1, description="Padded tokens of one step: bounds memory for long rows."
    )
    accumulate: int = Field(default=1, ge=1, description="Batches per optimiser step.")
    schedule: Literal["linear", "cosine", "polynomial", "constant_with_warmup", "step"] = "linear"
    warmup_share: float = Field(default=0.1, ge=0, lt=1, description="Of all steps.")
    power: float = Field(default=2.0, gt=0, description="Of the polynomial schedule.")
    step_epochs: float = Field(default=1.0, gt=0, description="Step schedule: every so often,")
    step_factor: float = Field(default=0.5, gt=0, lt=1, description="the rate times this.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Of sgd.")
    new_lr_factor: float = Field(
        default=1.0, gt=0, description="The rate of weights that the base does not have."
    )
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="Each layer's rate, of that of the layer above it."
    )
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        default=None, description="One label per text, or tag per token: how much each counts."
    )
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0, description="0: no clipping.")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    bf16: bool | None = Field(default=None, description="Default: where the machine is fast at it.")


class EarlyStopping(Part):
    """When to stop before the last epoch."""

    patience: int | None = Field(
        default=None, ge=1, description="Epochs without a better dev score; default: run them all."
    )
    min_gain: float = Field(default=0.0, ge=0, description="What counts as better.")


class Artifacts(Part):
    """Which forms are made of the checkpoint."""

    onnx_fp32: bool = True
    onnx_int8: bool = Field(default=True, description="Static, calibrated on training texts.")
    calibration_items: int = Field(
        default=300, ge=1, description="300 kept 99.4% of labels on banking77; more only took time."
    )


class Gates(Part):
    """Limits inside which an artifact is verified."""

    max_score_loss: float = Field(
        default=0.5, ge=0, description="Points of the task's score against fp32 torch."
    )
    max_label_flips: float = Field(
        default=2.0, ge=0, description="Classification: per cent of labels that differ from fp32."
    )
    max_changed_answers: float = Field(
        default=2.0,
        ge=0,
        description="Generation: per cent of answers that differ alone and in a batch, where one "
        "token that is as likely as another makes two texts of one.",
    )
    min_gain: float = Field(
        default=1.0,
        description="Points above the commonest answer, beyond one standard error: else the "
        "version is not published. -1000 asks for none.",
    )
    temperature: bool = Field(
        default=False,
        description="Classification: serve scores with the temperature fitted on dev.",
    )
    dev_items: int = Field(
        default=1000, ge=1, description="Dev examples that every artifact is measured on, at most."
    )


class Publish(Part):
    """What happens to a finished version."""

    alias: str | None = "production"
    generation_defaults: dict[str, Any] = Field(
        default={}, description="Defaults of request parameters, e.g. max_sentences."
    )


class Recipe(Part):
    """One training run."""

    seed: int = 42
    snapshot_every_s: float = Field(
        default=120, ge=0, description="What --resume may have to do again, at most."
    )
    model: Model
    data: Data
    optim: Optim = Optim()
    early_stopping: EarlyStopping = EarlyStopping()
    callbacks: list[CallbackChoice] = Field(default=[], description="Called in this order.")
    artifacts: Artifacts = Artifacts()
    gates: Gates = Gates()
    publish: Publish = Publish()
    _folder: Path | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path | None:
        """Where the recipe lies; None for one that was not read from a file."""
        return self._folder

    def portable(self) -> dict[str, Any]:
        """All settings, defaults included, with files by their names: the same on any machine."""
        settings = self.model_dump(mode="json")
        for name in ("train", "dev", "test"):
            path = getattr(self.data, name)
            if path is not None:
                settings["data"][name] = portable_hub(path) if is_hub(path) else path.name
        for name in ("base", "decoder"):
            path = getattr(self.model, name)
            if path is not None and Path(path).is_absolute():
                settings["model"][name] = Path(path).name
        return settings

    @property
    def sha256(self) -> str:
        """Of ``portable``: two runs with the same hash were asked for the same thing."""
        return _hash(self.portable())

    @property
    def fit_sha256(self) -> str:
        """Of what decides the weights: neither artifacts nor gates, publication nor snapshots."""
        settings = self.portable()
        return _hash({name: settings[name] for name in FIT})


def _hash(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
