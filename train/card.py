"""How long the texts are, before anything is trained."""

from collections.abc import Sequence
from typing import Any

from handlers.tokenization import TextTokenizer
from train.tasks.base import TrainTask

PERCENTILES = (50, 90, 99, 100)


def describe(
    job: TrainTask,
    train: Sequence[Any],
    tokenizer: TextTokenizer,
) -> dict[str, Any]:
    """The data card.

    Args:
        job: the task.
        train: training examples, at least one.
        tokenizer: of the base model, with the row length of training.

    Returns:
        ``tokens_per_text`` (``p50``, ``p90``, ``p99``, ``p100``; without special tokens),
        ``texts_longer_than_a_row`` (a share), ``long_texts`` (what happens to those: cut or
        windows).
    """
    texts = [job.text_of(example) for example in train]
    # A context is read once, however many questions are asked about it.
    unique = list(dict.fromkeys(texts))
    tokens = dict(zip(unique, map(len, tokenizer.encode(unique)), strict=True))
    lengths = sorted(tokens[text] for text in texts)
    room = tokenizer.room()
    return {
        "tokens_per_text": {
            f"p{share}": lengths[min(len(lengths) - 1, len(lengths) * share // 100)]
            for share in PERCENTILES
        },
        "texts_longer_than_a_row": sum(length > room for length in lengths) / len(lengths),
        "long_texts": "read in windows" if job.windows else "cut",
    }
