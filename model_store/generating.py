"""What a generating checkpoint's configuration says: its task, its limits, how it decodes."""

from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store.files import read_json
from model_store.positions import position_limit

SERVED_TYPES = ("bart", "mbart", "pegasus", "marian", "t5", "mt5", "encoder-decoder")
"""``model_type`` of the configurations that are served; relatives such as BARThez, mBART-50, FLAN
and ByT5 carry one of these."""

DEFAULT_TASKS = {"marian": Task.TRANSLATION}

BOOKKEEPING = ("transformers_version", "_from_model_config", "return_dict_in_generate")
"""Keys of ``generation_config.json`` that say nothing about decoding."""

TOKEN_KEYS = ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id")
DECODING_KEYS = (
    *TOKEN_KEYS,
    "forced_bos_token_id",
    "forced_eos_token_id",
    "max_length",
    "min_length",
    "num_beams",
    "length_penalty",
    "early_stopping",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "repetition_penalty",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
)
"""What older checkpoints say in ``config.json``, having no ``generation_config.json``."""

MAX_TARGET_TOKENS = "max_target_tokens"
"""Ours, beside transformers' keys: how many tokens the decoder's table of positions holds."""


def check_type(path: Path, config: dict[str, Any]) -> None:
    """Refuse an architecture whose decoder we do not know.

    Raises:
        CheckpointError: with those that are served.
    """
    if config.get("model_type") not in SERVED_TYPES:
        raise CheckpointError(
            f"{path}: {config.get('model_type')} is no sequence-to-sequence model that is served "
            f"({', '.join(SERVED_TYPES)}); fine-tune one of these."
        )


def default_task(config: dict[str, Any]) -> Task:
    """What a checkpoint does that does not say."""
    return DEFAULT_TASKS.get(str(config.get("model_type")), Task.TEXT2TEXT_GENERATION)


def encoder_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that bounds the source."""
    return _part(config, "encoder")


def generation_defaults(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """How a checkpoint decodes when a request says nothing.

    As ``generate`` has it: ``generation_config.json`` decides alone where there is one, but for
    the ids of special tokens; without it ``config.json`` does.

    Args:
        folder: of the checkpoint.
        config: its ``config.json``.

    Returns:
        transformers' keys that are not null, and ``max_target_tokens`` where positions bound the
        decoder.

    Raises:
        CheckpointError: nothing says with which token an answer begins.
    """
    path = folder / "generation_config.json"
    stated = read_json(path) if path.is_file() else None
    found = {} if stated is None else {k: v for k, v in stated.items() if k not in BOOKKEEPING}
    for key in DECODING_KEYS if stated is None else TOKEN_KEYS:
        for place in (config, _part(config, "decoder")):
            if found.get(key) is None:
                found[key] = place.get(key)
    defaults = {key: value for key, value in found.items() if value is not None}
    if "decoder_start_token_id" not in defaults:
        if "bos_token_id" not in defaults:
            raise CheckpointError(
                f"{folder} names no decoder_start_token_id, so that no answer can begin; write it "
                "into generation_config.json."
            )
        defaults["decoder_start_token_id"] = defaults["bos_token_id"]
    limit = position_limit(_part(config, "decoder"))
    if limit is not None:
        defaults[MAX_TARGET_TOKENS] = limit
    return defaults


def _part(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The encoder's or the decoder's own configuration, where two models were joined."""
    part = config.get(name)
    return part if isinstance(part, dict) else config
