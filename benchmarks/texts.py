"""The two sets of texts that every measurement sends, always the same for one tokenizer.

``short`` texts have 6 to 24 tokens, evenly spread: messages of a chat. ``mixed`` ones are
log-normal with a median of 42 and a mean of 60 tokens, 8 to 397: what a mail box holds. Tokens
include the two special ones. Words are drawn from the tokenizer's own vocabulary, so that the
number of tokens is known without trial.
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

from tokenizers import Tokenizer

SHORT, MIXED = "short", "mixed"
SETS = (SHORT, MIXED)
COUNT = 512
"""Texts of a set; clients take them in turn."""

SHORT_RANGE = (6, 24)
MIXED_RANGE = (8, 397)
MIXED_MEDIAN = 42
MIXED_SIGMA = 0.845
"""The mean of a log-normal is its median times exp(sigma squared / 2): 60."""
SPECIAL = 2
SENTENCE = 12
"""A full stop stands in place of every twelfth word: real texts are not one line of words."""


def token_counts(name: str, count: int = COUNT, seed: int = 0) -> list[int]:
    """Tokens of each text of a set, special ones included.

    Raises:
        ValueError: there is no such set.
    """
    draw = random.Random(f"{name} {seed}")
    # Quantiles in random order: no draw of a few hundred texts is longer than another.
    shares = [(number + 0.5) / count for number in range(count)]
    draw.shuffle(shares)
    if name == SHORT:
        low, high = SHORT_RANGE
        return [low + int(share * (high + 1 - low)) for share in shares]
    if name == MIXED:
        low, high = MIXED_RANGE
        curve = NormalDist(math.log(MIXED_MEDIAN), MIXED_SIGMA)
        drawn = (math.exp(curve.inv_cdf(share)) for share in shares)
        return [round(min(max(tokens, low), high)) for tokens in drawn]
    raise ValueError(f"There is no set of texts {name!r}; there are {', '.join(SETS)}.")


def text_set(
    name: str, words: Sequence[str], count: int = COUNT, seed: int = 0, most: int = MIXED_RANGE[1]
) -> list[str]:
    """The texts of a set.

    Args:
        name: one of ``SETS``.
        words: of one token each; see ``whole_words``.
        count: how many texts.
        seed: another gives other texts of the same lengths' distribution.
        most: tokens of the longest text, where a model takes fewer.
    """
    lengths = token_counts(name, count, seed)
    return [
        text_of(min(tokens, most) - SPECIAL, words, seed=f"{name} {seed} {number}")
        for number, tokens in enumerate(lengths)
    ]


def text_of(tokens: int, words: Sequence[str], seed: str) -> str:
    """A text of exactly so many tokens, without special ones."""
    draw = random.Random(seed)
    chosen = [draw.choice(words) for _ in range(tokens)]
    chosen[SENTENCE - 1 :: SENTENCE] = ["."] * len(chosen[SENTENCE - 1 :: SENTENCE])
    return " ".join(chosen)


def whole_words(folder: Path) -> list[str]:
    """Lower-case words that the tokenizer of a checkpoint folder keeps whole, in its order."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    words = [word for word, _ in vocabulary if len(word) > 1 and word.isascii() and word.isalpha()]
    encoded = tokenizer.encode_batch(words, add_special_tokens=False)
    return [
        word
        for word, one in zip(words, encoded, strict=True)
        if word == word.lower() and sum(one.attention_mask) == 1
    ]


def documents(tokens: int, count: int, words: Sequence[str]) -> list[str]:
    """Texts of one length, without special tokens."""
    return [text_of(tokens, words, seed=f"{tokens} {number}") for number in range(count)]


def write_bodies(
    inputs: Sequence[Any],
    path: Path,
    parameters: Mapping[str, Any] | None = None,
    asked: Sequence[str] = ("",),
) -> Path:
    """A request body per line: what ``cycle.lua`` sends.

    Args:
        inputs: one per request.
        path: of the file.
        parameters: of every request.
        asked: paths that are asked in turn; empty: that of the URL.
    """
    lines = []
    for number, one in enumerate(inputs):
        body = {"inputs": one} | ({"parameters": parameters} if parameters else {})
        to = asked[number % len(asked)]
        lines.append((f"{to}\t" if to else "") + json.dumps(body))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
