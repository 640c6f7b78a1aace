"""How one answer is decoded: a request's parameters over the checkpoint's own."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from contracts.errors import InvalidRequest

DEFAULT_NEW_TOKENS = 256
"""Where neither request nor checkpoint says how long an answer may be. transformers stops after 20
tokens then, which cuts most answers."""

SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")
"""Parameters that mean nothing without sampling: to give one asks for it."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """The resolved parameters; lengths count the decoder's start token, as transformers' do."""

    start_id: int
    eos_ids: tuple[int, ...]
    max_length: int
    min_length: int = 0
    num_beams: int = 1
    early_stopping: bool | Literal["never"] = False
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    encoder_no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    encoder_repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    forced_bos_id: int | None = None
    forced_eos_ids: tuple[int, ...] = ()
    suppressed: tuple[int, ...] = ()
    suppressed_at_begin: tuple[int, ...] = ()
    bad_words: tuple[tuple[int, ...], ...] = ()
    renormalize: bool = False
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def max_new_tokens(self) -> int:
        """Tokens of an answer at most."""
        return self.max_length - 1


def resolve(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Decoding:
    """Put a request's parameters over the checkpoint's.

    Args:
        given: of the request, validated one by one; what is absent was not given.
        defaults: the manifest's ``generation_defaults``: the checkpoint's generation config, and
            ``max_target_tokens`` where the decoder has no positions beyond.

    Raises:
        InvalidRequest: parameters contradict each other or the model; the sentence names them.
    """

    def value(name: str, otherwise: Any) -> Any:
        found = given.get(name)
        if found is None:
            found = defaults.get(name)
        return otherwise if found is None else found

    start = value("decoder_start_token_id", defaults.get("bos_token_id"))
    if start is None:
        raise InvalidRequest(
            "The model's generation_config.json names no decoder_start_token_id; add it there."
        )
    max_length = _max_length(given, defaults)
    min_length = value("min_length", 0)
    min_new = value("min_new_tokens", None)
    if min_new is not None and ("min_new_tokens" in given or "min_length" not in given):
        min_length = min_new + 1
    if min_length > max_length:
        raise InvalidRequest(
            f"parameters.min_new_tokens: at least {min_length - 1} tokens are asked for, and at "
            f"most {max_length - 1}."
        )
    sample = given.get("do_sample")
    if sample is None:
        asked = any(name in given for name in SAMPLING)
        sample = asked or bool(defaults.get("do_sample", False))
    temperature = float(value("temperature", 1.0))
    if temperature == 0:
        sample, temperature = False, 1.0
    beams = value("num_beams", 1)
    forced_bos = value("forced_bos_token_id", None)
    return Decoding(
        start_id=start,
        eos_ids=_ids(value("eos_token_id", ())),
        max_length=max_length,
        min_length=min_length,
        num_beams=beams,
        early_stopping=value("early_stopping", False),
        length_penalty=float(value("length_penalty", 1.0)),
        no_repeat_ngram_size=value("no_repeat_ngram_size", 0),
        encoder_no_repeat_ngram_size=value("encoder_no_repeat_ngram_size", 0),
        repetition_penalty=float(value("repetition_penalty", 1.0)),
        encoder_repetition_penalty=float(value("encoder_repetition_penalty", 1.0)),
        frequency_penalty=float(value("frequency_penalty", 0.0)),
        forced_bos_id=forced_bos,
        forced_eos_ids=_ids(value("forced_eos_token_id", ())),
        suppressed=_ids(value("suppress_tokens", ())),
        suppressed_at_begin=_ids(value("begin_suppress_tokens", ())),
        bad_words=tuple(tuple(word) for word in value("bad_words_ids", ())),
        renormalize=bool(value("renormalize_logits", False)),
        do_sample=sample,
        temperature=temperature,
        top_k=value("top_k", 50),
        top_p=float(value("top_p", 1.0)),
        min_p=float(value("min_p", 0.0)),
        typical_p=float(value("typical_p", 1.0)),
        seed=value("seed", secrets.randbits(32)) if sample else None,
        stop=tuple(value("stop", ())),
    )


def _max_length(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> int:
    """The decoder's tokens at most, the start token included."""
    limit = defaults.get("max_target_tokens")
    for source in (given, defaults):
        name = next((each for each in ("max_new_tokens", "max_length") if source.get(each)), None)
        if name is None:
            continue
        length = int(source[name]) + (name == "max_new_tokens")
        if limit is None or length <= limit:
            return max(2, length)
        if source is given:
            raise InvalidRequest(
                f"parameters.{name}: the model's decoder has {limit} positions, so max_new_tokens "
                f"is {limit - 1} at most."
            )
        return int(limit)
    length = DEFAULT_NEW_TOKENS + 1
    return length if limit is None else min(length, int(limit))


def _ids(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
