"""Request and response of every sequence-to-sequence model: summaries, translations, any text.

One schema for the three tasks: Hugging Face's clients for summarisation, translation and text
generation, and LangChain's, each send a part of these parameters, and an answer carries the text
under every key that one of them reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from contracts.schemas import Body, Long, Strict, Text
from contracts.tasks import Task

StopString = Annotated[str, Field(min_length=1)]
Truncation = Literal["do_not_truncate", "longest_first", "only_first", "only_second"]


class DecodingParameters(Strict):
    """How text is generated; what is not given is the checkpoint's ``generation_config``."""

    max_new_tokens: int | None = Field(default=None, ge=1, description="Tokens at most.")
    min_new_tokens: int | None = Field(default=None, ge=0, description="Tokens at least.")
    max_length: int | None = Field(
        default=None, ge=1, description="As max_new_tokens, the decoder's start token included."
    )
    min_length: int | None = Field(
        default=None, ge=0, description="As min_new_tokens, the decoder's start token included."
    )
    num_beams: int | None = Field(default=None, ge=1, le=16, description="1: no beam search.")
    early_stopping: bool | Literal["never"] | None = Field(
        default=None, description="Beam search: when enough finished beams are enough."
    )
    length_penalty: float | None = Field(
        default=None, description="Beam search: above 0 favours longer answers."
    )
    no_repeat_ngram_size: int | None = Field(default=None, ge=0)
    encoder_no_repeat_ngram_size: int | None = Field(default=None, ge=0)
    repetition_penalty: float | None = Field(default=None, gt=0)
    frequency_penalty: float | None = Field(
        default=None, description="Taken off a token's logit for each time it stands there already."
    )
    do_sample: bool | None = Field(
        default=None, description="Default: whether a sampling parameter is given."
    )
    temperature: float | None = Field(default=None, ge=0, description="0: no sampling.")
    top_k: int | None = Field(default=None, ge=0, description="0: all tokens.")
    top_p: float | None = Field(default=None, gt=0, le=1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    typical_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(
        default=None, ge=0, lt=2**64, description="Of sampling: equal seeds give equal answers."
    )
    stop: list[StopString] | None = Field(
        default=None, description="Generation ends with the token that completes one of these."
    )
    forced_bos_token_id: int | None = Field(
        default=None, ge=0, description="The first token; of many-to-many models the language."
    )


class GenerationParameters(DecodingParameters):
    """Decoding, and how long documents and languages are treated."""

    generate_parameters: dict[str, Any] | None = Field(
        default=None, description="Hugging Face's other place for the decoding parameters."
    )
    stop_sequences: list[StopString] | None = Field(default=None, description="As stop.")
    src_lang: str | None = Field(default=None, description="Language code of the input.")
    tgt_lang: str | None = Field(default=None, description="Language code of the answer.")
    long: Long | None = Field(
        default=None,
        description="A document longer than the model: error, window (read in parts, and their "
        "answers joined), or truncate; default: the checkpoint's, or error.",
    )
    truncation: Truncation | None = Field(
        default=None, description="As long = truncate, unless do_not_truncate."
    )
    truncate: int | None = Field(
        default=None, ge=1, description="Read so many tokens of the input at most."
    )
    clean_up_tokenization_spaces: bool | None = Field(
        default=None, description="Take the spaces before punctuation away."
    )
    details: bool | None = Field(
        default=None, description="Tell tokens, log probabilities and the reason of the end."
    )
    return_full_text: bool | None = Field(
        default=None, description="Put the input before the answer."
    )
    decoder_input_details: Literal[False] | None = None
    watermark: Literal[False] | None = None
    best_of: Literal[1] | None = None
    top_n_tokens: Literal[0] | None = None
    adapter_id: None = None
    grammar: None = None

    @model_validator(mode="after")
    def _checked(self) -> "GenerationParameters":
        DecodingParameters.model_validate(self.generate_parameters or {})
        return self

    def decoding(self) -> dict[str, Any]:
        """The decoding parameters that were given, wherever they stood."""
        given = dict(self.generate_parameters or {})
        own = DecodingParameters.model_fields
        given |= {name: getattr(self, name) for name in own if getattr(self, name) is not None}
        if self.stop_sequences:
            given["stop"] = [*(given.get("stop") or []), *self.stop_sequences]
        return {name: value for name, value in given.items() if value is not None}


class Token(TypedDict):
    """One generated token."""

    id: int
    text: str
    logprob: float
    special: bool


class GenerationDetails(TypedDict):
    """How an answer came about."""

    finish_reason: Literal["length", "eos_token", "stop_sequence"]
    generated_tokens: int
    seed: int | None
    prefill: list[Token]
    tokens: list[Token]


class Generated(TypedDict):
    """One answer, under the key of every task."""

    summary_text: str
    translation_text: str
    generated_text: str
    details: NotRequired[GenerationDetails]


@dataclass(frozen=True, slots=True)
class GenerationItem:
    """One text to answer; the answer is a ``Generated``."""

    text: str
    parameters: GenerationParameters


class GenerationBody(Body):
    """Summarisation, translation and text generation by a sequence-to-sequence model."""

    task = Task.TEXT2TEXT_GENERATION
    inputs: Text | Annotated[list[Text], Field(min_length=1)]
    parameters: GenerationParameters = GenerationParameters()
    stream: bool | None = Field(
        default=None, description="Answer with server-sent events, as an Accept header can ask too."
    )

    def items(self) -> list[GenerationItem]:
        """One item per text."""
        inputs = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [GenerationItem(text, self.parameters) for text in inputs]

    def shape(self, answers: Sequence[Generated]) -> list[Generated]:
        """A list for one text too, as the clients expect."""
        return list(answers)
