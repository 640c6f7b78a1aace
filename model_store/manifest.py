"""What a version is: its task, labels and limits, its artifacts with their hashes, and how it was made."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.tasks import Task

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"

Format = Literal["torch", "onnx"]
Precision = Literal["fp32", "int8"]


class Artifact(BaseModel):
    """One runnable form of a checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format
    precision: Precision
    path: str = Field(description="Relative to the version's folder.")
    sha256: str
    bytes: int
    scores: dict[str, float] = Field(
        default={},
        description="Measured on held-out data: the task's scores, agreement with fp32 torch.",
    )
    verified: bool = Field(
        default=False, description="Inside the accuracy gate: `auto` may choose it."
    )


class Manifest(BaseModel):
    """The contents of ``manifest.json``: everything that serving must know about a version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    task: Task
    architecture: str = Field(
        description="The transformers class, e.g. BertForSequenceClassification."
    )
    labels: list[str] = Field(description="By class index.")
    problem_type: (
        Literal["single_label_classification", "multi_label_classification", "regression"] | None
    ) = None
    max_tokens: int = Field(ge=1, description="Tokens of one row, special tokens included.")
    base_model: str | None = None
    generation_defaults: dict[str, Any] = Field(
        default={}, description="Defaults of request parameters, e.g. max_sentences."
    )
    artifacts: list[Artifact] = []
    files: dict[str, str] = Field(
        default={}, description="sha256 of every other file that serving reads, by relative path."
    )
    scores: dict[str, float] = Field(default={}, description="Held-out scores of the checkpoint.")
    recipe_sha256: str | None = None
    packages: dict[str, str] = Field(default={}, description="Versions that made it.")
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
