"""What a checkpoint folder holds: its weights, its tokenizer, and what must be refused.

Only safetensors and ONNX are served: a pickle can run code when it is read, and so can a checkpoint
that brings its own Python files.
"""

from pathlib import Path

from contracts.errors import CheckpointError
from model_store.files import read_json
from model_store.manifest import Artifact

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
ONNX_PATHS = ("onnx/model.onnx", "model.onnx")
ONNX_DECODER, ONNX_ENCODER = "onnx/decoder.onnx", "onnx/encoder.onnx"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
TRAINER_STATE = ("training_args", "optimizer", "scheduler", "scaler", "rng_state")
"""Names, before the suffix, of pickles that a training run leaves beside the weights."""

TOKENIZER_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "source.spm",
)
"""Files of which one is enough to build a tokenizer (with ``merges.txt`` beside ``vocab.json``,
and ``vocab.json`` beside ``source.spm``)."""

TOKENIZER_FILES = (
    *TOKENIZER_VOCABULARIES,
    "merges.txt",
    "bpe.codes",
    "target.spm",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def refuse_remote_code(folder: Path) -> None:
    """Refuse a checkpoint whose model or tokenizer is Python code of its own.

    Raises:
        CheckpointError: ``auto_map`` stands in one of its configurations.
    """
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file() and read_json(path).get("auto_map"):
            raise CheckpointError(
                f"{path} asks for code from the checkpoint (auto_map), which is never run; use a "
                "checkpoint of an architecture that transformers itself has."
            )


def pickles(folder: Path) -> list[Path]:
    """Weights that are pickles, without the state files of a training run."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in PICKLE_SUFFIXES
        and path.is_file()
        and not path.name.startswith(TRAINER_STATE)
    ]


def find_artifact(folder: Path) -> Artifact:
    """What of a plain folder is run: its safetensors, or an ONNX file where there are none.

    Returns:
        The artifact, with its size and without a hash.

    Raises:
        CheckpointError: nothing that may be loaded, or a file that is cut short or damaged.
    """
    whole, index = folder / WEIGHTS, folder / WEIGHTS_INDEX
    if whole.is_file():
        check_safetensors(whole)
        return Artifact(format="torch", precision="fp32", path=WEIGHTS, bytes=whole.stat().st_size)
    if index.is_file():
        shards = shards_of(index)
        for shard in shards:
            check_safetensors(shard)
        size = sum(shard.stat().st_size for shard in shards)
        return Artifact(format="torch", precision="fp32", path=WEIGHTS_INDEX, bytes=size)
    for path in ONNX_PATHS:
        if (folder / path).is_file():
            size = (folder / path).stat().st_size
            return Artifact(format="onnx", precision="fp32", path=path, bytes=size)
    decoder, encoder = folder / ONNX_DECODER, folder / ONNX_ENCODER
    if decoder.is_file() and encoder.is_file():
        size = decoder.stat().st_size + encoder.stat().st_size
        return Artifact(
            format="onnx", precision="fp32", path=ONNX_DECODER, encoder=ONNX_ENCODER, bytes=size
        )
    raise CheckpointError(_why_no_weights(folder))


def shards_of(index: Path) -> list[Path]:
    """The files that a sharded checkpoint's index names.

    Raises:
        CheckpointError: the index is broken, or a shard is missing.
    """
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map; download or save the checkpoint again.")
    shards = []
    for name in sorted({str(name) for name in weight_map.values()}):
        if Path(name).name != name:
            raise CheckpointError(f"{index} names {name!r}, which is not a file beside it.")
        shard = index.parent / name
        if not shard.is_file():
            raise CheckpointError(
                f"{shard} is missing, though {index.name} names it; download the checkpoint again."
            )
        shards.append(shard)
    return shards


def check_safetensors(path: Path) -> None:
    """Read a safetensors header and compare it with the size of the file.

    Raises:
        CheckpointError: the file is cut short or is not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            empty = not list(file.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is cut short or damaged ({error}); download or save it again."
        ) from error
    if empty:
        raise CheckpointError(f"{path} holds no tensors; save the checkpoint again.")


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer can be built from this folder."""
    return any((folder / name).is_file() for name in TOKENIZER_VOCABULARIES)


def _why_no_weights(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return (
            f"{folder} holds only an adapter (adapter_config.json); merge it into its base model "
            "(PEFT: merge_and_unload, save_pretrained) and use the merged folder."
        )
    found = pickles(folder)
    if found:
        return (
            f"{folder} holds only pickles ({found[0].name}), which can run code when they are "
            f"read; run `tuneserve convert {folder}` first."
        )
    strays = sorted(path.name for path in folder.glob("*.safetensors"))
    if strays:
        return (
            f"{folder} has {strays[0]} but neither {WEIGHTS} nor {WEIGHTS_INDEX}; "
            "save or download the checkpoint again."
        )
    return f"{folder} has no weights: neither {WEIGHTS} nor an ONNX file."
