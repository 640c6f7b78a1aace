"""Read pickled files of tensors and write safetensors; run as a script, in its own process.

Imports nothing of this project: it runs isolated, and what it reads is not trusted. It prints a
line ``reading PATH`` before each file, and ``refused REASON`` where one holds more than tensors.
"""

import pickle
import sys
from typing import Any

READING = "reading"
REFUSED = "refused"


class Refused(Exception):
    """The file holds something other than a table of tensors."""


def main(*paths: str) -> int:
    """Convert ``source, target, source, target, ...``; return the exit status."""
    for source, target in zip(paths[::2], paths[1::2], strict=True):
        print(READING, source, flush=True)
        try:
            convert(source, target)
        except Refused as error:
            print(REFUSED, error, flush=True)
            return 1
    return 0


def convert(source: str, target: str) -> None:
    """Convert one file.

    Raises:
        Refused: it holds something other than a table of tensors.
    """
    import torch
    from safetensors.torch import save_file

    try:
        state = _load(torch, source)
    except pickle.UnpicklingError:
        raise Refused(
            "it is damaged, or holds more than tensors, which only running its code could read."
        ) from None
    if not isinstance(state, dict) or not state:
        raise Refused("it holds no table of tensors; save model.state_dict() alone.")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise Refused(f"{name!r} is {kind}, no tensor; save model.state_dict() alone.")
    # A copy of each: safetensors takes no two names for one memory, and which of two tied names a
    # model wants is known to the model alone.
    tensors = {name: value.detach().clone().contiguous() for name, value in state.items()}
    save_file(tensors, target, metadata={"format": "pt"})


def _load(torch: Any, source: str) -> Any:
    try:
        return torch.load(source, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:
        # Files older than torch 1.6 cannot be mapped into memory.
        return torch.load(source, map_location="cpu", weights_only=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
