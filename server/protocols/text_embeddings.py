"""text-embeddings-inference's shapes: bodies to items, answers to JSON.

What its bodies mean differs from Hugging Face's in three things: ``["a", "b"]`` is one pair, and
``[["a"], ["b"]]`` a batch; scores come without a limit of labels; an embedding has length 1 unless
the body says otherwise.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from contracts.embeddings import (
    EmbeddingItem,
    EmbeddingParameters,
    Sentences,
    SimilarityItem,
    SimilarityParameters,
)
from contracts.schemas import (
    ClassificationItem,
    ClassificationParameters,
    LabelScore,
    Long,
    Strict,
    Text,
)
from contracts.tasks import Task
from contracts.tensors import Array
from server.messages import ModelStatus
from server.settings import Settings

Sequences = Annotated[list[Text], Field(min_length=1, max_length=2)]
"""One text, or the two of a pair."""


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Direction = Annotated[Literal["left", "right"], BeforeValidator(_lower)]
"""The end at which a text is cut; text-embeddings-inference writes it ``Left`` too."""
RightOnly = Annotated[Literal["right"], BeforeValidator(_lower)]
"""Of classifiers, which cut at the end only."""


class Reading(Strict):
    """What every body may say about long texts."""

    truncate: bool | None = Field(
        default=None, description="true: cut what is longer than the model; false: refuse it."
    )

    def long(self, unsaid: Long) -> Long:
        """What happens to a long text; ``unsaid`` where the body does not tell."""
        if self.truncate is None:
            return unsaid
        return "truncate" if self.truncate else "error"


class PredictBody(Reading):
    """Classify a text, a pair of texts, or a batch of both."""

    inputs: Text | Sequences | Annotated[list[Sequences], Field(min_length=1)]
    truncation_direction: RightOnly = "right"
    raw_scores: bool = Field(default=False, description="Logits instead of probabilities.")

    @property
    def is_batch(self) -> bool:
        """Whether the answer is nested."""
        return isinstance(self.inputs, list) and isinstance(self.inputs[0], list)

    def items(self) -> list[ClassificationItem]:
        """One item per text or pair."""
        parameters = _scoring(self.raw_scores, self.long("error"))
        texts: list[Any] = list(self.inputs) if self.is_batch else [self.inputs]
        return [
            ClassificationItem(text, None, parameters)
            if isinstance(text, str)
            else ClassificationItem(text[0], text[1] if len(text) > 1 else None, parameters)
            for text in texts
        ]

    def shape(self, answers: Sequence[list[LabelScore]]) -> Any:
        """Flat for one text or pair, a list per input for a batch."""
        return list(answers) if self.is_batch else answers[0]


class EmbedBody(Reading):
    """Embed a text or several."""

    inputs: Text | Annotated[list[Text], Field(min_length=1)]
    truncation_direction: Direction = "right"
    normalize: bool = True
    prompt_name: str | None = None
    dimensions: int | None = Field(default=None, ge=1)

    def items(self) -> list[EmbeddingItem]:
        """One item per text."""
        parameters = EmbeddingParameters(
            normalize=self.normalize,
            prompt_name=self.prompt_name,
            dimensions=self.dimensions,
            truncation_direction=self.truncation_direction,
            long=self.long("window"),
        )
        texts = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [EmbeddingItem(text, parameters) for text in texts]

    def shape(self, answers: Sequence[Array]) -> list[Array]:
        """A list for one text too."""
        return list(answers)


class Rank(TypedDict):
    """One text's place; ``index`` is where it stood in the request."""

    index: int
    score: float
    text: NotRequired[str]


class RerankBody(Reading):
    """Order texts by how well they answer a query."""

    query: Text
    texts: Annotated[list[Text], Field(min_length=1)]
    truncation_direction: RightOnly = "right"
    raw_scores: bool = Field(default=False, description="Logits instead of probabilities.")
    return_text: bool = False

    def items(self) -> list[ClassificationItem]:
        """One pair per text."""
        parameters = _scoring(self.raw_scores, self.long("error"))
        return [ClassificationItem(self.query, text, parameters) for text in self.texts]

    def shape(self, answers: Sequence[list[LabelScore]]) -> list[Rank]:
        """Best first; texts of one score in their order."""
        ranks = [Rank(index=i, score=answer[0]["score"]) for i, answer in enumerate(answers)]
        if self.return_text:
            for rank in ranks:
                rank["text"] = self.texts[rank["index"]]
        return sorted(ranks, key=lambda rank: -rank["score"])


class SimilarityReading(Reading):
    """How the texts of a comparison are read."""

    truncation_direction: Direction = "right"
    prompt_name: str | None = None


class CompareBody(Strict):
    """Compare a text with others."""

    inputs: Sentences
    parameters: SimilarityReading | None = None

    def items(self) -> list[SimilarityItem]:
        """One item."""
        reading = self.parameters or SimilarityReading()
        parameters = SimilarityParameters(
            prompt_name=reading.prompt_name,
            truncation_direction=reading.truncation_direction,
            long=reading.long("window"),
        )
        return [
            SimilarityItem(self.inputs.source_sentence, tuple(self.inputs.sentences), parameters)
        ]

    def shape(self, answers: Sequence[list[float]]) -> list[float]:
        """One number per sentence."""
        return answers[0]


TeiBody = PredictBody | EmbedBody | RerankBody | CompareBody


def information(model: ModelStatus, settings: Settings, version: str) -> dict[str, Any]:
    """What ``/info`` tells about a model and about the limits of this server."""
    return {
        "model_id": model.name,
        "model_sha": None,
        "model_dtype": _DTYPES.get(model.precision or "", model.precision),
        "served_model_name": model.name,
        "model_type": _model_type(model),
        "max_concurrent_requests": settings.max_waiting,
        "max_input_length": model.max_tokens,
        "max_batch_tokens": settings.batch_tokens or model.batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_items,
        "auto_truncate": False,
        "tokenization_workers": 1,
        "version": version,
        "sha": None,
        "docker_label": None,
    }


_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def _model_type(model: ModelStatus) -> dict[str, Any]:
    if model.task == Task.FEATURE_EXTRACTION:
        return {"embedding": {"pooling": model.pooling}}
    labels = {str(index): label for index, label in enumerate(model.labels)}
    classes = {
        "id2label": labels,
        "label2id": {label: int(index) for index, label in labels.items()},
    }
    return {"reranker" if len(labels) == 1 else "classifier": classes}


def _scoring(raw: bool, long: Long) -> ClassificationParameters:
    function = "none" if raw else None
    return ClassificationParameters(top_k=None, function_to_apply=function, long=long)
