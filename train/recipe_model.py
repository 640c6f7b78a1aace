"""The recipe's section ``[model]``: what is trained, for which task, and from what."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from contracts.tasks import GENERATION_TASKS, Task
from model_store.manifest import ProblemType
from train.freezing import split_parts

GENERATION = "generation"
"""The short name of every task whose answer is written, token by token; ``kind`` says which."""
SHORT_TASKS = {
    "classification": Task.TEXT_CLASSIFICATION,
    "ner": Task.TOKEN_CLASSIFICATION,
    "qa": Task.QUESTION_ANSWERING,
    "summary": Task.SUMMARIZATION,
    GENERATION: Task.TEXT2TEXT_GENERATION,
}
"""Short names that a recipe may use for the hub's task names."""


def _trained(task: Task) -> Task:
    if task not in SHORT_TASKS.values() and task not in GENERATION_TASKS:
        raise ValueError(f"{task} is served and not trained here; name one of {_names()}")
    return task


def _names() -> str:
    return ", ".join(SHORT_TASKS)


class Part(BaseModel):
    """A section of the recipe; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Part):
    """What is trained, and from what."""

    name: str = Field(description="Name in the store.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: Annotated[
        Task, BeforeValidator(lambda name: SHORT_TASKS.get(name, name)), AfterValidator(_trained)
    ]
    base: str = Field(
        default="minilm",
        description='A checkpoint folder, a hub id, "minilm" (the packaged encoder), or "scratch".',
    )
    kind: Task | None = Field(
        default=None, description="Generation: what the model is published for."
    )
    decoder: str | None = Field(
        default=None,
        description="Generation from two encoders: the base is the encoder, this (a folder, a hub "
        "id, or minilm) the decoder, with new cross-attention.",
    )
    decoder_layers: int | None = Field(
        default=None,
        ge=1,
        description="Of decoder, so many of its layers, evenly spread: a shallow decoder costs "
        "little quality and halves the time per token (Shleifer and Rush 2020).",
    )
    labels: list[str] | None = Field(
        default=None, description="In the order of class indices; default: sorted from the data."
    )
    problem_type: ProblemType | None = Field(
        default=None, description="Classification only; default: read off the label column."
    )
    max_tokens: int | None = Field(
        default=None, ge=8, description="Longest training row; default: the base model's limit."
    )
    max_target_tokens: int = Field(
        default=128, ge=2, description="Generation: longest answer, learnt and given."
    )
    dropout: float | None = Field(
        default=None, ge=0, lt=1, description="On hidden layers and the head; default: the base's."
    )
    freeze: Annotated[
        list[str], BeforeValidator(lambda one: split_parts(one) if isinstance(one, str) else one)
    ] = Field(default=[], description='Parts that are not trained: "embeddings, encoder.0-3".')
    attention_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="0: fused attention, and no loss seen in short runs."
    )
    subtokens: Literal["all", "first"] = Field(
        default="all", description="Entities: which pieces of a word are labelled and decide."
    )
    doc_stride: int | None = Field(
        default=None, ge=0, description="Question answering; default: as in serving."
    )
    max_seq_len: int | None = Field(
        default=None, ge=16, description="Question answering; default: as in serving."
    )

    @model_validator(mode="before")
    @classmethod
    def _kind_is_task(cls, given: Any) -> Any:
        """``generation`` and ``kind`` become the task that the manifest has."""
        if not isinstance(given, dict):
            return given
        task, kind = given.get("task"), given.get("kind")
        if task == GENERATION:
            kind = Task.TEXT2TEXT_GENERATION if kind is None else kind
            task = kind if kind in GENERATION_TASKS else Task.TEXT2TEXT_GENERATION
            return {**given, "task": task, "kind": kind}
        if task in (Task.TRANSLATION, Task.TEXT2TEXT_GENERATION) and kind is None:
            return {**given, "kind": task}
        return given

    @field_validator("kind", "decoder", "decoder_layers")
    @classmethod
    def _of_generation(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return None
        task, kind = info.data.get("task"), info.data.get("kind")
        if info.field_name == "kind" and (value not in GENERATION_TASKS or value != task):
            kinds = ", ".join(GENERATION_TASKS)
            raise ValueError(f'it goes with task = "{GENERATION}", and is one of {kinds}')
        if info.field_name == "decoder" and kind is None:
            raise ValueError(f'it goes with task = "{GENERATION}"')
        if info.field_name == "decoder_layers" and info.data.get("decoder") is None:
            raise ValueError("it goes with a decoder that is named beside base")
        return value
