"""Request and response of every sequence-to-sequence model: summaries, translations, any text.

One schema for the three tasks: Hugging Face's clients for summarisation, translation and text
generation, and LangChain's, each send a part of these parameters, and an answer carries the text
under every key that one of them reads.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from typing_extensions import TypedDict

from contracts.schemas import Body, Long, Strict, Text
from contracts.tasks import Task

StopString = Annotated[str, Field(min_length=1)]
FinishReason = Literal["length", "eos_token", "stop_sequence"]
Truncation = Literal["do_not_truncate", "longest_first", "only_first", "only_second"]


class DecodingParameters(Strict):
    """How text is generated; what is not given is the checkpoint's ``generation_config``."""

    model_config = ConfigDict(allow_inf_nan=False)

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


ABSENT: dict[str, bool | int | None] = {
    "decoder_input_details": False,
    "watermark": False,
    "best_of": 1,
    "top_n_tokens": 0,
    "adapter_id": None,
    "grammar": None,
}
"""What text-generation-inference can do and this server cannot, and the value that asks for none
of it: clients send these keys all the same."""


class GenerationParameters(DecodingParameters):
    """Decoding, and how long documents and languages are treated."""

    generate_parameters: DecodingParameters | None = Field(
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

    @field_validator(*ABSENT, mode="before")
    @classmethod
    def _absent(cls, value: object, info: ValidationInfo) -> object:
        without = ABSENT[info.field_name or ""]
        if value is not None and value != without:
            also = "" if without is None else f", or send {json.dumps(without)}"
            raise ValueError(f"this server cannot do that; leave it out{also}")
        return value

    def decoding(self) -> dict[str, Any]:
        """The decoding parameters that were given, wherever they stood."""
        inner = self.generate_parameters
        given = inner.model_dump(exclude_none=True) if inner else {}
        own = DecodingParameters.model_fields
        given |= {name: getattr(self, name) for name in own if getattr(self, name) is not None}
        if self.stop_sequences:
            given["stop"] = [*given.get("stop", []), *self.stop_sequences]
        return given


class Token(TypedDict):
    """One generated token."""

    id: int
    text: str
    logprob: float
    special: bool


class GenerationDetails(TypedDict):
    """How an answer came about."""

    finish_reason: FinishReason
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


class StreamDetails(TypedDict):
    """How a streamed answer came about."""

    finish_reason: FinishReason
    generated_tokens: int
    input_length: int
    seed: int | None


class Usage(TypedDict):
    """Tokens, as they are counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class StreamEvent(TypedDict):
    """One token of a streamed answer; all that may be missing is in the last one, ``done``."""

    index: int
    token: Token
    generated_text: str | None
    details: StreamDetails | None
    summary_text: NotRequired[str]
    translation_text: NotRequired[str]
    usage: NotRequired[Usage]
    windows: NotRequired[int]
    truncated: NotRequired[bool]


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
