"""Request and response of models that embed: feature extraction and sentence similarity.

Hugging Face's clients send the parameters of feature extraction at the root of the body; under
``parameters`` they are taken too.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.schemas import Body, Long, Strict, Text
from contracts.tasks import Task
from contracts.tensors import Array


class SimilarityParameters(Strict):
    """How texts are read."""

    prompt_name: str | None = Field(
        default=None, description="The checkpoint's prompt of that name goes before each text."
    )
    truncate: bool | None = Field(
        default=None, description="True: cut a text that is longer than the model."
    )
    truncation_direction: Literal["left", "right"] = Field(
        default="right", description="The end at which a text is cut."
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="Keep so many numbers of an embedding, the first ones."
    )
    long: Long = Field(
        default="window",
        description="A text longer than the model: window (read in parts, the mean of their "
        "embeddings), truncate, or error.",
    )


class EmbeddingParameters(SimilarityParameters):
    """How texts are read, and what an embedding looks like."""

    normalize: bool | None = Field(
        default=None, description="Length 1; default: as the checkpoint's own configuration says."
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None, description="base64: of float32 numbers, little endian."
    )


@dataclass(frozen=True, slots=True)
class EmbeddingItem:
    """One text to embed; the answer is a float32 array ``(dimensions,)``, contiguous.

    ``encoding_format`` does not touch it: see ``base64_of``.
    """

    text: str
    parameters: EmbeddingParameters
    token_ids: list[int] | None = None
    """The text as ids of the model's own tokens, without special ones; then ``text`` is empty."""


@dataclass(frozen=True, slots=True)
class SimilarityItem:
    """A text and those it is compared with; the answer is a ``list[float]``: cosines, in order."""

    source: str
    sentences: tuple[str, ...]
    parameters: SimilarityParameters


class EmbeddingBody(Body, EmbeddingParameters):
    """Feature extraction: one embedding per text."""

    task = Task.FEATURE_EXTRACTION
    inputs: Text | Annotated[list[Text], Field(min_length=1)]
    parameters: EmbeddingParameters | None = Field(
        default=None, description="The same parameters again; those at the root go before them."
    )

    def items(self) -> list[EmbeddingItem]:
        """One item per text."""
        inputs = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        parameters = self._chosen()
        return [EmbeddingItem(text, parameters) for text in inputs]

    def shape(self, answers: Sequence[Array]) -> list[Array] | list[str]:
        """A list of embeddings for one text too, as the clients expect."""
        if self._chosen().encoding_format == "base64":
            return [base64_of(answer) for answer in answers]
        return list(answers)

    def _chosen(self) -> EmbeddingParameters:
        inner = self.parameters
        given = {name: getattr(inner, name) for name in inner.model_fields_set} if inner else {}
        own = self.model_fields_set & EmbeddingParameters.model_fields.keys()
        given |= {name: getattr(self, name) for name in own}
        return EmbeddingParameters.model_construct(**given)


class Sentences(Strict):
    """A text, and those that it is compared with."""

    source_sentence: Text
    sentences: Annotated[list[Text], Field(min_length=1)]


class SimilarityBody(Body):
    """Sentence similarity: the cosine of each sentence's embedding with the source's."""

    task = Task.SENTENCE_SIMILARITY
    root = ("source_sentence", "sentences")
    inputs: Sentences | Annotated[list[Sentences], Field(min_length=1)]
    parameters: SimilarityParameters = SimilarityParameters()

    @classmethod
    def fits(cls, body: dict[str, Any]) -> bool:
        """Whether ``inputs`` has a source sentence."""
        inputs = cls.gathered(body).get("inputs")
        first = inputs[0] if isinstance(inputs, list) and inputs else inputs
        return isinstance(first, dict)

    def items(self) -> list[SimilarityItem]:
        """One item per source sentence."""
        inputs = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [
            SimilarityItem(one.source_sentence, tuple(one.sentences), self.parameters)
            for one in inputs
        ]

    def shape(self, answers: Sequence[list[float]]) -> list[float] | list[list[float]]:
        """Flat for one source sentence, a list per source for a batch."""
        return list(answers) if isinstance(self.inputs, list) else answers[0]


def base64_of(embedding: Array) -> str:
    """An embedding's float32 numbers, little endian, as OpenAI's clients read them."""
    return base64.b64encode(embedding.astype("<f4", copy=False).tobytes()).decode("ascii")
