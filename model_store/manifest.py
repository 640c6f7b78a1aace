"""What a version is: its task, labels and limits, its artifacts with hashes, how it was made."""

from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store.embedding import Embedding
from model_store.files import read_json

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"

GENERATING_HEADS = ("ForConditionalGeneration", "MarianMTModel", "EncoderDecoderModel")
"""How the transformers classes end that generate: they have an encoder and a decoder."""

Format = Literal["torch", "onnx"]
Precision = Literal["fp32", "int8"]
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError("is not a relative path inside the folder")
    return path


InnerPath = Annotated[str, AfterValidator(_inside)]
"""A path relative to the version's folder, which it cannot leave; always with forward slashes."""


def is_generating(architecture: str) -> bool:
    """Whether a transformers class is a sequence-to-sequence model."""
    return architecture.endswith(GENERATING_HEADS)


class Artifact(BaseModel):
    """One runnable form of a checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format
    precision: Precision
    path: InnerPath = Field(
        description="Relative to the version's folder; for a sharded checkpoint, its index."
    )
    encoder: InnerPath | None = Field(
        default=None,
        description="Of a graph that decodes: the graph of its encoder, whose hash stands among "
        "the files.",
    )
    sha256: str = Field(default="", description="Written by the store when it publishes.")
    bytes: int = Field(
        default=0, ge=0, description="Of everything that is loaded; written by the store."
    )
    scores: dict[str, float] = Field(
        default={},
        description="Measured on held-out data: the task's scores, agreement with fp32 torch.",
    )
    float_parts: list[str] = Field(
        default=[],
        description="Of int8: encoder layers and other parts that stay in float, because the gate "
        "refused the artifact without them; the most sensitive first.",
    )
    verified: bool = Field(
        default=False, description="Inside the accuracy gate: `auto` may choose it."
    )


class Promotion(BaseModel):
    """Why an alias was pointed to a version: what was compared, and who insisted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alias: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    by: str = Field(description="The user's name on the machine.")
    replaced: int | None = Field(description="The version that the alias pointed to before.")
    metric: str
    score: float | None = Field(default=None, description="Of this version, 0..1.")
    replaced_score: float | None = Field(default=None, description="On the same held-out data.")
    examples: int = Field(description="How many were held out.")
    reasons: list[str] = Field(default=[], description="What spoke against it.")
    forced: bool = Field(default=False, description="Moved against those reasons.")
    why: str = Field(default="", description="What the person said.")


class Manifest(BaseModel):
    """The contents of ``manifest.json``: everything that serving must know about a version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    task: Task
    architecture: str = Field(
        description="The transformers class, e.g. BertForSequenceClassification."
    )
    labels: list[str] = Field(description="By class index.")
    problem_type: ProblemType | None = None
    max_tokens: int = Field(ge=1, description="Tokens of one row, special tokens included.")
    base_model: str | None = None
    generation_defaults: dict[str, Any] = Field(
        default={}, description="Defaults of request parameters, e.g. max_sentences."
    )
    temperature: float | None = Field(
        default=None,
        gt=0,
        description="Classification: divides the logits before they become scores.",
    )
    embedding: Embedding | None = Field(
        default=None, description="Feature extraction: how texts become embeddings."
    )
    artifacts: list[Artifact] = []
    files: dict[InnerPath, str] = Field(
        default={}, description="sha256 of every other file that serving reads, by relative path."
    )
    scores: dict[str, float] = Field(default={}, description="Held-out scores of the checkpoint.")
    recipe_sha256: str | None = None
    packages: dict[str, str] = Field(default={}, description="Versions that made it.")
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    promotions: list[Promotion] = Field(
        default=[],
        description="All that is ever added to a published version; the newest last.",
    )

    @property
    def artifact_paths(self) -> list[str]:
        """Every file of every artifact that the manifest names; encoders may be shared."""
        paths = [path for one in self.artifacts for path in (one.path, one.encoder) if path]
        return list(dict.fromkeys(paths))

    @property
    def generates(self) -> bool:
        """Whether an encoder and a decoder answer, and not labels."""
        return is_generating(self.architecture)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a version's folder and look for the files it names.

    Hashes are not compared here; see ``verify_hashes``.

    Raises:
        CheckpointError: no manifest, not JSON, a schema version or field that is not known, a
            file that is missing or lies outside the folder.
    """
    path = folder / MANIFEST_NAME
    content = read_json(path)
    written = content.get("schema_version", SCHEMA_VERSION)
    if written != SCHEMA_VERSION:
        raise CheckpointError(
            f"{path} has schema version {written!r} and this tuneserve reads {SCHEMA_VERSION}; "
            "publish the model again with this tuneserve, or serve it with the one that wrote it."
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        raise CheckpointError(f"{path}: {where}: {reason} ({first['input']!r:.80}).") from error
    if not manifest.artifacts:
        raise CheckpointError(f"{path} names no artifact; publish the model again.")
    root = folder.resolve()
    for name in [*manifest.artifact_paths, *manifest.files]:
        file = folder / name
        if not file.is_file():
            raise CheckpointError(f"{file} is missing, though {path} names it.")
        if not file.resolve().is_relative_to(root):
            raise CheckpointError(f"{file} is a link that leaves its folder; copy the file there.")
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest as indented JSON."""
    path.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
