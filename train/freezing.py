"""Which weights stay as they are, and how deep a weight lies: one naming for all architectures.

A part is a dotted name in the model (``embeddings``, ``pooler``), or a range of its encoder layers,
counted from 0 at the input: ``encoder.0-3``, ``encoder.5``, or ``encoder`` for all of them. Beside
a decoder that is the encoder of the two.
"""

import re
from collections.abc import Sequence
from typing import Any

from contracts.errors import CheckpointError
from model_store.mixed import LAYER

BLOCK = re.compile(r"(?:^|\.)block\.(\d+)\.")
"""T5's layers; what it calls so are their parts."""
DECODER = re.compile(r"(?:^|\.)decoder\.")
RANGE = re.compile(r"encoder(?:\.(\d+)(?:-(\d+))?)?")


def split_parts(text: str) -> list[str]:
    """``"embeddings, encoder.0-3"`` as a list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def freeze(model: Any, parts: Sequence[str]) -> None:
    """Train everything but these parts; what was frozen before and is not named is trained again.

    Args:
        model: of transformers.
        parts: see the module; empty: everything is trained.

    Raises:
        CheckpointError: the model has no such part or layer, or nothing would be left to train.
    """
    frozen: set[str] = set()
    for part in parts:
        frozen |= _names(model, part)
    named = dict(model.named_parameters())
    if not named.keys() - frozen:
        raise CheckpointError("model.freeze: nothing is left to train.")
    for name, value in named.items():
        value.requires_grad_(name not in frozen)


def layers(model: Any) -> int:
    """How many encoder layers the model has."""
    config = model.config
    config = getattr(config, "encoder", config)
    return int(getattr(config, "num_hidden_layers", 0) or getattr(config, "n_layers", 0))


def depth(model: Any, name: str) -> int:
    """How many layers lie between a parameter and the model's output.

    0 for the head and all that stands above the encoder, a decoder too, 1 for the last encoder
    layer, and one more than the number of layers for what stands before the first (embeddings).
    Weights that ALBERT shares between layers have the depth of the last layer that uses them.
    """
    count = layers(model)
    found = _layer(name)
    if _decodes(model, name):
        return 0
    if found:
        return count - max(_layers_of(model, int(found[1])))
    if "embedding" in name or "relative_attention_bias" in name:
        return count + 1
    return 0


def _layers_of(model: Any, number: int) -> range:
    """The encoder layers that use the weights with a number in their name."""
    count, groups = layers(model), getattr(model.config, "num_hidden_groups", None)
    if groups is None:
        return range(number, number + 1)
    # transformers' own rule: layer i uses group int(i / (layers / groups)).
    used = [index for index in range(count) if int(index / (count / groups)) == number]
    return range(used[0], used[-1] + 1)


def _layer(name: str) -> re.Match[str] | None:
    return BLOCK.search(name) or LAYER.search(name)


def _decodes(model: Any, name: str) -> bool:
    """Whether a weight is the decoder's, of a model that has one."""
    if not getattr(model.config, "is_encoder_decoder", False):
        return False
    return DECODER.search(name) is not None


def _names(model: Any, part: str) -> set[str]:
    """The parameters of a part."""
    names = [name for name, _ in model.named_parameters()]
    found = RANGE.fullmatch(part)
    if found:
        return _range(model, part, names, found[1], found[2])
    chosen = {name for name in names if f".{part}." in f".{name}."}
    if not chosen:
        known = sorted({name.split(".")[1] for name in names} - {"weight", "bias"})
        raise CheckpointError(
            f'model.freeze: the model has no part "{part}"; it has {", ".join(known)}, '
            f"and encoder.0-{layers(model) - 1}."
        )
    return chosen


def _range(
    model: Any, part: str, names: list[str], first: str | None, last: str | None
) -> set[str]:
    count = layers(model)
    start = int(first) if first else 0
    end = int(last) if last else int(first) if first else count - 1
    if not start <= end < count:
        raise CheckpointError(
            f'model.freeze: "{part}" is no range of layers; the model has encoder.0-{count - 1}.'
        )
    chosen = set()
    for name in names:
        if _decodes(model, name):
            continue
        found = _layer(name)
        if not found:
            if first is None and ".encoder." in f".{name}":
                chosen.add(name)
            continue
        used = _layers_of(model, int(found[1]))
        inside = [start <= index <= end for index in used]
        if any(inside) and not all(inside):
            raise CheckpointError(
                f'model.freeze: "{part}" cuts through layers that share their weights; '
                f"name encoder.{used[0]}-{used[-1]} as a whole."
            )
        if all(inside):
            chosen.add(name)
    return chosen
