"""How long a summary may be: the limits of a request, or the checkpoint's."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.errors import InvalidRequest
from contracts.schemas import SummaryParameters

DEFAULT_SENTENCES = 3

LIMITS = ("max_sentences", "max_length", "max_new_tokens")
"""Keys of ``generate_parameters`` that limit a summary: sentences, and the model's tokens."""

WITHOUT_EFFECT = frozenset(
    {
        "min_length",
        "min_new_tokens",
        "early_stopping",
        "max_time",
        "do_sample",
        "num_beams",
        "num_beam_groups",
        "diversity_penalty",
        "use_cache",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "typical_p",
        "epsilon_cutoff",
        "eta_cutoff",
        "repetition_penalty",
        "length_penalty",
        "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size",
        "renormalize_logits",
        "frequency_penalty",
        "seed",
        "watermark",
    }
)
"""Keys that say how text is generated; sentences are chosen, so there is nothing for them to do."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a summary may hold at most; None: any number.

    Attributes:
        sentences: whole sentences.
        words: as ``handlers.selection.count_words`` counts them.
        tokens: of the model, without special tokens.
    """

    sentences: int | None = None
    words: int | None = None
    tokens: int | None = None


def budget_of(
    parameters: SummaryParameters, defaults: Mapping[str, Any]
) -> Budget | InvalidRequest:
    """Read the limits of one request.

    Args:
        parameters: of the request.
        defaults: the manifest's ``generation_defaults``; its ``max_sentences`` and ``max_length``
            (words) hold where the request has no limit at all.
    """
    generate = parameters.generate_parameters
    for key, value in generate.items():
        if key in LIMITS:
            if value is not None and (type(value) is not int or value < 1):
                return InvalidRequest(
                    f"parameters.generate_parameters.{key} must be a whole number, 1 or more."
                )
        elif key not in WITHOUT_EFFECT:
            near = difflib.get_close_matches(key, [*LIMITS, *sorted(WITHOUT_EFFECT)], n=1)
            hint = f"did you mean {near[0]}?" if near else f"its limits are {', '.join(LIMITS)}."
            return InvalidRequest(f"parameters.generate_parameters has no {key}; {hint}")
    # transformers, too, prefers max_new_tokens where both are given.
    tokens = generate.get("max_new_tokens") or generate.get("max_length")
    asked = Budget(
        parameters.max_sentences or generate.get("max_sentences"), parameters.max_length, tokens
    )
    if asked == Budget():
        asked = Budget(defaults.get("max_sentences"), defaults.get("max_length"))
    return Budget(DEFAULT_SENTENCES) if asked == Budget() else asked
