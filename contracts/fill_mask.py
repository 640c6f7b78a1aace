"""Request and response of fill-mask: the words that may stand where a text has a mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from contracts.schemas import Body, Long, Strict, Text
from contracts.tasks import Task

MAX_TOP_K = 1000
"""Proposals for one mask: each costs a pass through the detokeniser."""


class FillMaskParameters(Strict):
    """Which tokens are proposed."""

    top_k: int = Field(default=5, ge=1, le=MAX_TOP_K, description="Proposals for each mask.")
    targets: Annotated[list[Text], Field(min_length=1, max_length=MAX_TOP_K)] | None = Field(
        default=None,
        description="Score these only; of a word outside the vocabulary its first token.",
    )
    long: Long = "error"


class Proposal(TypedDict):
    """One token for one mask, and the text with it."""

    score: float
    token: int
    token_str: str
    sequence: str


@dataclass(frozen=True, slots=True)
class FillMaskItem:
    """One text; the answer is ``list[Proposal]``, best first, or one such list per mask."""

    text: str
    parameters: FillMaskParameters


class FillMaskBody(Body):
    """Fill-mask; the text holds the checkpoint's own mask token."""

    task = Task.FILL_MASK
    inputs: Text | Annotated[list[Text], Field(min_length=1)]
    parameters: FillMaskParameters = FillMaskParameters()

    def items(self) -> list[FillMaskItem]:
        """One item per text."""
        inputs = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [FillMaskItem(text, self.parameters) for text in inputs]

    def shape(self, answers: Sequence[list[Any]]) -> list[Any]:
        """The proposals themselves for one text, a list for a batch."""
        return list(answers) if isinstance(self.inputs, list) else answers[0]
