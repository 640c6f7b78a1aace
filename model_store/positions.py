"""How many tokens a table of positions holds, as ``config.json`` says it."""

from typing import Any

RELATIVE_TYPES = ("t5", "mt5")
"""They have no table of positions: what they read and write may have any length."""

POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len")

POSITIONS_AFTER_PADDING = frozenset(
    {
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "lilt",
        "longformer",
        "luke",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
"""Model types that count positions from ``pad_token_id + 1``: a table of 514 holds 512 tokens."""


def position_limit(config: dict[str, Any]) -> int | None:
    """Tokens that a table of positions holds; None where the architecture has none."""
    if config.get("model_type") in RELATIVE_TYPES:
        return None  # their n_positions is a memory of training
    for key in POSITION_KEYS:
        limit = config.get(key)
        if isinstance(limit, int) and limit > 0:
            break
    else:
        return None
    if config.get("model_type") in POSITIONS_AFTER_PADDING:
        padding = config.get("pad_token_id")
        limit -= (1 if padding is None else padding) + 1
    return limit
