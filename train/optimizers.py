"""The optimisers that a recipe can name, with decay and a rate of their own per layer.

Frozen weights are handed over too: without a gradient an optimiser leaves them alone, and a
callback may thaw them later.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from train.freezing import depth
from train.new_weights import is_new
from train.recipe import Optim

if TYPE_CHECKING:
    from torch.optim import Optimizer


def make_optimizer(model: Any, optim: Optim, decayed: Collection[str]) -> "Optimizer":
    """An optimiser over all parameters of a model.

    With ``layer_decay`` d, a weight ``depth`` layers below the head starts with
    ``lr * d ** depth`` (Howard and Ruder 2018 call it discriminative fine-tuning). Weights that the
    base does not have start with ``new_lr_factor`` times that.

    Args:
        model: of transformers.
        optim: the recipe's section.
        decayed: names of the parameters that weight decay applies to: no biases, no norms.
    """
    import torch
    from transformers.optimization import Adafactor

    new = optim.new_lr_factor != 1
    groups: dict[tuple[int, bool, bool], list[Any]] = {}
    for name, value in model.named_parameters():
        level = depth(model, name) if optim.layer_decay < 1 else 0
        groups.setdefault((level, name not in decayed, new and is_new(value)), []).append(value)
    parameters: Any = [
        {
            "params": groups[key],
            "lr": optim.lr * optim.layer_decay ** key[0] * (optim.new_lr_factor if key[2] else 1.0),
            "weight_decay": 0.0 if key[1] else optim.weight_decay,
        }
        for key in sorted(groups)
    ]
    if optim.name == "adam":
        # Here weight decay is a part of the gradient, as in the paper.
        return torch.optim.Adam(parameters, lr=optim.lr, fused=True)
    if optim.name == "sgd":
        return torch.optim.SGD(parameters, lr=optim.lr, momentum=optim.momentum)
    if optim.name == "adafactor":
        # Without its own step size rule, so that lr and schedule mean what they mean elsewhere.
        made: Optimizer = Adafactor(
            parameters, lr=optim.lr, scale_parameter=False, relative_step=False
        )
        return made
    return torch.optim.AdamW(parameters, lr=optim.lr, fused=True)
