"""Request and response of zero-shot classification: labels that the caller names.

Answered by a classifier that was fine-tuned on natural language inference: a label fits a text if
the text entails the sentence that the template makes of the label.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from contracts.schemas import Body, LabelScore, Long, Strict, Text
from contracts.tasks import Task


def _has_a_place(template: str) -> str:
    if "{}" not in template:
        raise ValueError("the template has no {} where the label goes")
    return template


def _split(labels: list[str] | str) -> list[str]:
    if not isinstance(labels, str):
        return labels
    found = [label.strip() for label in labels.split(",") if label.strip()]
    if not found:
        raise ValueError("there is no label between the commas")
    return found


Labels = Annotated[
    Annotated[list[Text], Field(min_length=1)] | Text,
    AfterValidator(_split),
    Field(description="A list; or, as transformers takes them too, one string with commas."),
]


class ZeroShotParameters(Strict):
    """The labels, and how they compete."""

    candidate_labels: Labels
    multi_label: bool = Field(
        default=False, description="Several labels may fit: each has a probability of its own."
    )
    hypothesis_template: Annotated[str, AfterValidator(_has_a_place)] = Field(
        default="This example is {}.", description="The sentence made of a label, put for {}."
    )
    long: Long = "error"


@dataclass(frozen=True, slots=True)
class ZeroShotItem:
    """One text to classify; the answer is ``list[LabelScore]``, every label, best first."""

    text: str
    candidate_labels: tuple[str, ...]
    parameters: ZeroShotParameters


class LabelColumns(TypedDict):
    """Labels and their scores apart, best first."""

    labels: list[str]
    scores: list[float]


class ZeroShotBody(Body):
    """Zero-shot classification."""

    task = Task.ZERO_SHOT_CLASSIFICATION
    inputs: Text | Annotated[list[Text], Field(min_length=1)]
    parameters: ZeroShotParameters

    @classmethod
    def fits(cls, body: dict[str, Any]) -> bool:
        """Whether ``parameters`` names labels."""
        parameters = body.get("parameters")
        return isinstance(parameters, dict) and "candidate_labels" in parameters

    def items(self) -> list[ZeroShotItem]:
        """One item per text."""
        inputs = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        labels = tuple(self.parameters.candidate_labels)  # a list by now
        return [ZeroShotItem(text, labels, self.parameters) for text in inputs]

    def shape(
        self, answers: Sequence[list[LabelScore]]
    ) -> list[LabelScore] | list[list[LabelScore]]:
        """Flat for one text, one list per text for a batch."""
        return list(answers) if isinstance(self.inputs, list) else answers[0]

    def shape_for(self, user_agent: str, answers: Sequence[Any]) -> Any:
        """``LabelColumns`` for the releases of huggingface_hub that read nothing else."""
        if not reads_columns(user_agent):
            return self.shape(answers)
        columns = [
            LabelColumns(
                labels=[one["label"] for one in answer], scores=[one["score"] for one in answer]
            )
            for answer in answers
        ]
        return columns if isinstance(self.inputs, list) else columns[0]


LAST_WITH_COLUMNS = (1, 1, 4)
"""The last release of huggingface_hub that reads ``labels`` and ``scores``."""


def reads_columns(user_agent: str) -> bool:
    """Whether a client is a huggingface_hub that wants ``LabelColumns``."""
    version = re.search(r"\bhf_hub/(\d+)\.(\d+)\.(\d+)", user_agent)
    return version is not None and tuple(map(int, version.groups())) <= LAST_WITH_COLUMNS


def entailment_index(labels: Sequence[str]) -> int | None:
    """The class that means "follows from the text"; None: the labels are not those of inference."""
    if len(labels) < 2:
        return None
    found = (i for i, label in enumerate(labels) if label.lower().startswith("entail"))
    return next(found, None)
