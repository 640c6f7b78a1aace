"""The model file of sentencepiece, read without sentencepiece itself."""

from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from contracts.extras import require


def read_sentencepiece(path: Path) -> Any:
    """Read a model's pieces, normaliser and training options.

    Returns:
        A ``ModelProto`` of sentencepiece_model.proto, by the definition that transformers brings.

    Raises:
        CheckpointError: there is no such file, it is damaged, or protobuf is missing.
    """
    require("transformers")
    from transformers.convert_slow_tokenizer import import_protobuf

    try:
        return import_protobuf().ModelProto.FromString(path.read_bytes())
    except ImportError as error:
        raise CheckpointError(
            f"{path} cannot be read without protobuf; install it (pip install protobuf)."
        ) from error
    except Exception as error:  # protobuf's DecodeError has no name that is known without it
        raise CheckpointError(
            f"{path} cannot be read ({error}); download or save the checkpoint again."
        ) from error
