"""OpenAI's shapes of embeddings."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field
from typing_extensions import TypedDict

from contracts.embeddings import EmbeddingItem, EmbeddingParameters, base64_of
from contracts.schemas import Strict, Text
from contracts.tensors import Array

One = TypeVar("One")
Several = Annotated[list[One], Field(min_length=1)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class EmbeddingsBody(Strict):
    """Embed one text or several, as text or as the ids of the model's own tokens."""

    input: Text | Several[Text] | TokenIds | Several[TokenIds] = Field(
        description="Token ids are those of the model's own tokenizer, without special tokens."
    )
    model: str | None = Field(
        default=None, description="name, name@version or name@alias; default: the only embedder."
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64: of float32 numbers, little endian."
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="Keep so many numbers of an embedding, the first ones."
    )
    user: str | None = Field(default=None, description="Ignored.")

    def items(self) -> list[EmbeddingItem]:
        """One item per text."""
        parameters = EmbeddingParameters(dimensions=self.dimensions, normalize=True)
        return [
            EmbeddingItem(one, parameters)
            if isinstance(one, str)
            else EmbeddingItem("", parameters, one)
            for one in self._inputs()
        ]

    def shape(self, answers: Sequence[Array], model: str, tokens: int) -> "Embeddings":
        """The answer.

        Args:
            answers: one embedding per text.
            model: as it was asked for.
            tokens: that were read.
        """
        encode = base64_of if self.encoding_format == "base64" else _itself
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": encode(answer)}
                for index, answer in enumerate(answers)
            ],
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    def _inputs(self) -> list[str] | list[list[int]]:
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [self.input]
        return self.input


class Embedding(TypedDict):
    """One embedding: numbers, or base64."""

    object: str
    index: int
    embedding: Any


class EmbeddingUsage(TypedDict):
    """Tokens, special ones included."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(TypedDict):
    """The answer to ``EmbeddingsBody``."""

    object: str
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


def _itself(answer: Array) -> Array:
    return answer
