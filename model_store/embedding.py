"""How a checkpoint's token vectors become one embedding: read off sentence-transformers' files.

``modules.json`` lists what follows the encoder: a pooling, linear layers (``Dense``), and perhaps a
normalisation. Pooling and linear layers become a part of the graph that runs; normalisation,
prompts and lengths are the handler's. A folder without ``modules.json`` is pooled by the mean, as
sentence-transformers does.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from contracts.errors import CheckpointError
from model_store.files import read_json

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
ENCODER_SETTINGS = "sentence_bert_config.json"
DENSE_WEIGHTS = "model.safetensors"

Pooling = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]

OLD_POOLING_KEYS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""What sentence-transformers before 5.4 wrote; in the order in which it joins several."""

ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU")
"""Classes of ``torch.nn`` that may follow a linear layer."""


class Dense(BaseModel):
    """A linear layer behind the pooling."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="Of its weights, relative to the version's folder.")
    activation: str
    out_features: int = Field(ge=1)


class Embedding(BaseModel):
    """How a model embeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dimensions: int = Field(ge=1, description="Numbers of one embedding.")
    pooling: list[Pooling] = Field(
        default=["mean"], min_length=1, description="Several are joined in this order."
    )
    dense: list[Dense] = []
    normalize: bool = Field(default=False, description="Unless a request says otherwise.")
    prompts: dict[str, str] = Field(default={}, description="What goes before a text, by name.")
    default_prompt: str | None = Field(default=None, description="Where a request names none.")
    lowercase: bool = Field(default=False, description="Texts are put in lower case first.")


def embeds(folder: Path) -> bool:
    """Whether sentence-transformers saved this folder as a model that embeds.

    Raises:
        CheckpointError: ``modules.json`` is broken.
    """
    return any(kind.endswith("Pooling") for kind, _ in _modules(folder))


def module_files(folder: Path) -> list[str]:
    """What beside the encoder makes an embedding, by relative path."""
    paths = [MODULES, SETTINGS, ENCODER_SETTINGS]
    for _, path in _modules(folder):
        if path:
            paths += [f"{path}/config.json", f"{path}/{DENSE_WEIGHTS}"]
    return [path for path in paths if (folder / path).is_file()]


def max_sequence_tokens(folder: Path) -> int | None:
    """The length that sentence-transformers cuts texts at; None: the encoder's own."""
    stated = _settings(folder, ENCODER_SETTINGS).get("max_seq_length")
    return stated if isinstance(stated, int) and stated > 0 else None


def read_embedding(folder: Path, config: dict[str, Any]) -> Embedding:
    """Read the modules of a folder.

    Args:
        folder: of the checkpoint.
        config: its ``config.json``.

    Raises:
        CheckpointError: a module cannot be run here; the sentence names it.
    """
    size = _hidden_size(folder, config)
    pooling: list[Pooling] = []
    dense: list[Dense] = []
    normalize = False
    whole = True
    for kind, path in _modules(folder):
        settings = _settings(folder, f"{path}/config.json")
        match kind:
            case "Transformer":
                continue
            case "Pooling" if not pooling:
                pooling = _pooling(folder / path, settings)
                whole = bool(settings.get("include_prompt", True))
                size *= len(pooling)
            case "Dense" if pooling and not normalize:
                dense.append(_dense(folder, path, settings))
                size = dense[-1].out_features
            case "Normalize" if pooling:
                normalize = True
            case _:
                raise CheckpointError(
                    f"{folder / MODULES}: the module {kind} is not served in this place; "
                    "Transformer, Pooling, Dense and Normalize are, in this order."
                )
    told = _settings(folder, SETTINGS)
    prompts = {name: text or "" for name, text in (told.get("prompts") or {}).items()}
    if not whole and any(prompts.values()):
        raise CheckpointError(
            f"{folder / MODULES}: the pooling leaves prompts out (include_prompt), which is not "
            "served; use a checkpoint that pools its prompts too."
        )
    default = told.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise CheckpointError(
            f"{folder / SETTINGS}: default_prompt_name {default!r} is none of its prompts."
        )
    return Embedding(
        dimensions=size,
        pooling=pooling or ["mean"],
        dense=dense,
        normalize=normalize,
        prompts=prompts,
        default_prompt=default,
        lowercase=bool(_settings(folder, ENCODER_SETTINGS).get("do_lower_case", False)),
    )


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Class name and folder of every module, in order; none where there is no list."""
    path = folder / MODULES
    if not path.is_file():
        return []
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        found = [(str(one["type"]), str(one["path"])) for one in listed]
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is no list of modules; save the model again.") from error
    for kind, inner in found:
        if not kind.startswith("sentence_transformers."):
            raise CheckpointError(
                f"{path} asks for code from the checkpoint ({kind}), which is never run; use a "
                "checkpoint of sentence-transformers' own modules."
            )
        if ".." in inner or inner.startswith("/"):
            raise CheckpointError(f"{path}: {inner!r} is not a folder of this checkpoint.")
    return [(kind.rsplit(".", 1)[1], inner) for kind, inner in found]


def _settings(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    return read_json(path) if path.is_file() else {}


def _hidden_size(folder: Path, config: dict[str, Any]) -> int:
    for key in ("hidden_size", "dim", "d_model", "n_embd"):
        if isinstance(size := config.get(key), int) and size > 0:
            return size
    raise CheckpointError(f"{folder / 'config.json'} does not say its hidden_size.")


def _pooling(folder: Path, settings: dict[str, Any]) -> list[Pooling]:
    stated = settings.get("pooling_mode")
    modes: list[Any]
    if stated is None:
        modes = [mode for key, mode in OLD_POOLING_KEYS.items() if settings.get(key)]
    else:
        modes = [stated] if isinstance(stated, str) else list(stated)
    if unknown := [mode for mode in modes if mode not in get_args(Pooling)]:
        raise CheckpointError(
            f"{folder / 'config.json'}: the pooling {unknown[0]!r} is none of "
            f"{', '.join(get_args(Pooling))}."
        )
    return modes or ["mean"]


def _dense(folder: Path, path: str, settings: dict[str, Any]) -> Dense:
    where = folder / path
    activation = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = activation.rsplit(".", 1)[-1]
    if not activation.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise CheckpointError(
            f"{where / 'config.json'}: the activation {activation} is not served; "
            f"{', '.join(ACTIVATIONS)} are."
        )
    if settings.get("use_residual") or settings.get("module_input_name", _INPUT) != _INPUT:
        raise CheckpointError(
            f"{where / 'config.json'}: only a linear layer behind the pooling is served."
        )
    if not (where / DENSE_WEIGHTS).is_file():
        raise CheckpointError(
            f"{where} has no {DENSE_WEIGHTS}; save the model again with sentence-transformers 3 or "
            "later, which writes safetensors."
        )
    return Dense(
        path=f"{path}/{DENSE_WEIGHTS}",
        activation=name,
        out_features=int(settings.get("out_features", 0)),
    )


_INPUT = "sentence_embedding"
