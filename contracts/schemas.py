"""Request and response of every task: the wire's shapes, and the source of OpenAPI.

A *body* is what one HTTP request carries (Hugging Face's shapes). It may hold one input or a list.
It is taken apart into *items*, one per input, which is what handlers see; ``shape`` puts their
answers together again. Answers are plain dictionaries and lists, described here as ``TypedDict``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NotRequired

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from contracts.tasks import Task


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]
Long = Literal["error", "window", "truncate"]
"""What to do with a text longer than the model: refuse it, read it in windows, or cut it."""


class Strict(BaseModel):
    """A schema that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Body(Strict, ABC):
    """One HTTP request to a model."""

    task: ClassVar[Task]
    root: ClassVar[tuple[str, ...]] = ()
    """Keys of ``inputs`` that older releases of Hugging Face's client send at the root instead."""

    options: dict[str, Any] | None = Field(
        default=None, description="Legacy Hugging Face options: accepted and ignored."
    )

    @classmethod
    def fits(cls, body: dict[str, Any]) -> bool:
        """Whether JSON that came to a model with several schemas is of this one."""
        return True

    @classmethod
    def gathered(cls, body: dict[str, Any]) -> dict[str, Any]:
        """The same JSON with the keys of ``root`` under ``inputs``."""
        moved = {name: body[name] for name in cls.root if name in body}
        if not moved or body.get("inputs") is not None:
            return body
        return {name: body[name] for name in body if name not in moved} | {"inputs": moved}

    @abstractmethod
    def items(self) -> list[Any]:
        """One item per input, in order."""

    @abstractmethod
    def shape(self, answers: Sequence[Any]) -> Any:
        """The JSON answer, from one answer per item in the same order."""

    def shape_for(self, user_agent: str, answers: Sequence[Any]) -> Any:
        """``shape``, unless this client is known to read another one."""
        return self.shape(answers)


def texts_of(item: Any) -> Iterator[str]:
    """Every text of an item, whatever its task."""
    for name in item.__slots__:
        value = getattr(item, name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            yield from value


def inputs_of(item: Any) -> int:
    """How many inputs an item counts for: one, or the texts that its first one is asked with."""
    together = (getattr(item, name) for name in item.__slots__)
    return max(1, sum(len(value) for value in together if isinstance(value, tuple)))


# --- text classification


class ClassificationParameters(Strict):
    """How scores are made and how many come back."""

    top_k: int | None = Field(
        default=5, ge=1, description="Labels to return, best first; null: all."
    )
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = Field(
        default=None,
        description="From logits to scores; default: as the checkpoint's problem_type says.",
    )
    long: Long = "error"


class TextPair(Strict):
    """Two texts that the model reads together."""

    text: Text
    text_pair: Text


class LabelScore(TypedDict):
    """One class name with its score."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ClassificationItem:
    """One text, or a pair, to classify; the answer is ``list[LabelScore]``, best first."""

    text: str
    text_pair: str | None
    parameters: ClassificationParameters


class ClassificationBody(Body):
    """Text classification: one label list per input, always nested."""

    task = Task.TEXT_CLASSIFICATION
    inputs: Text | TextPair | Annotated[list[Text | TextPair], Field(min_length=1)]
    parameters: ClassificationParameters = ClassificationParameters()

    def items(self) -> list[ClassificationItem]:
        """One item per text or pair."""
        inputs = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [
            ClassificationItem(text, None, self.parameters)
            if isinstance(text, str)
            else ClassificationItem(text.text, text.text_pair, self.parameters)
            for text in inputs
        ]

    def shape(self, answers: Sequence[list[LabelScore]]) -> list[list[LabelScore]]:
        """``[[...]]`` for one input too: clients drop labels from a flat list."""
        return list(answers)


# --- token classification


Strategy = Literal["none", "simple", "first", "average", "max"]


class NerParameters(Strict):
    """How tagged tokens become entities."""

    aggregation_strategy: Strategy = Field(
        default="simple", description="Unless the model's manifest names another default."
    )
    ignore_labels: list[str] = Field(
        default=["O"], description="Labels to leave out of the answer."
    )
    stride: int | None = Field(
        default=None, ge=0, description="Tokens that neighbouring windows of a long text share."
    )
    long: Long = "window"


class Entity(TypedDict):
    """A span of the input; ``word == text[start:end]``, counted in characters."""

    entity_group: NotRequired[str]
    entity: NotRequired[str]
    index: NotRequired[int]
    score: float
    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class NerItem:
    """One text to tag; the answer is ``list[Entity]`` in text order."""

    text: str
    parameters: NerParameters


class NerBody(Body):
    """Token classification: entities with character offsets."""

    task = Task.TOKEN_CLASSIFICATION
    inputs: Text | Annotated[list[Text], Field(min_length=1)]
    parameters: NerParameters = NerParameters()

    def items(self) -> list[NerItem]:
        """One item per text."""
        inputs = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [NerItem(text, self.parameters) for text in inputs]

    def shape(self, answers: Sequence[list[Entity]]) -> list[Entity] | list[list[Entity]]:
        """Flat for one text, one list per text for a batch."""
        return list(answers) if isinstance(self.inputs, list) else answers[0]


# --- question answering


class QaParameters(Strict):
    """How the answer span is searched."""

    top_k: int = Field(default=1, ge=1)
    doc_stride: int | None = Field(
        default=None,
        ge=0,
        description="Tokens that neighbouring windows share; default min(max_seq_len // 2, 128).",
    )
    max_answer_len: int = Field(default=15, ge=1, description="Tokens.")
    max_seq_len: int | None = Field(
        default=None,
        ge=1,
        description="Tokens of question and context together; default min(model, 384).",
    )
    max_question_len: int = Field(default=64, ge=1, description="Tokens; a longer question is cut.")
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    long: Long = "window"


class Question(Strict):
    """A question and the text that holds its answer."""

    question: Text
    context: Text


class Answer(TypedDict):
    """A span of the context; ``answer == context[start:end]``, empty where there is no answer."""

    answer: str
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class QaItem:
    """One question; the answer is an ``Answer``, or a list of them when ``top_k`` > 1."""

    question: str
    context: str
    parameters: QaParameters


class QaBody(Body):
    """Extractive question answering."""

    task = Task.QUESTION_ANSWERING
    root = ("question", "context")
    inputs: Question | Annotated[list[Question], Field(min_length=1)]
    parameters: QaParameters = QaParameters()

    def items(self) -> list[QaItem]:
        """One item per question."""
        inputs = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [QaItem(one.question, one.context, self.parameters) for one in inputs]

    def shape(self, answers: Sequence[Answer | list[Answer]]) -> Any:
        """The answer itself for one question, a list for a batch."""
        return list(answers) if isinstance(self.inputs, list) else answers[0]


# --- summarisation


class SummaryParameters(Strict):
    """How many sentences, or how much text, the summary may have."""

    max_sentences: int | None = Field(
        default=None, ge=1, description="Sentences; default: the checkpoint's, or 3."
    )
    max_length: int | None = Field(
        default=None, ge=1, description="Budget in words (characters for Chinese and Japanese)."
    )
    generate_parameters: dict[str, Any] = Field(
        default={}, description="Hugging Face's place for max_length, max_new_tokens and the like."
    )
    truncation: Literal["do_not_truncate", "longest_first", "only_first", "only_second"] | None = (
        None
    )
    clean_up_tokenization_spaces: bool | None = None
    long: Long = "window"


class Summary(TypedDict):
    """The summary of one text."""

    summary_text: str


@dataclass(frozen=True, slots=True)
class SummaryItem:
    """One text to shorten; the answer is a ``Summary``."""

    text: str
    parameters: SummaryParameters


class SummaryBody(Body):
    """Summarisation: the sentences that matter, in their order."""

    task = Task.SUMMARIZATION
    inputs: Text | Annotated[list[Text], Field(min_length=1)]
    parameters: SummaryParameters = SummaryParameters()

    def items(self) -> list[SummaryItem]:
        """One item per text."""
        inputs = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [SummaryItem(text, self.parameters) for text in inputs]

    def shape(self, answers: Sequence[Summary]) -> list[Summary]:
        """A list for one text too, as the clients expect."""
        return list(answers)
