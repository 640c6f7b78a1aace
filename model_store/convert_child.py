"""Read one pickled file of tensors and write safetensors; run as a script, in its own process.

Imports nothing of this project: it runs isolated, and what it reads is not trusted.
"""

import sys
from typing import Any

REFUSED = 3
"""Exit status when the file holds more than tensors; the reason is on standard output."""


def main(source: str, target: str) -> int:
    """Convert ``source``; return the exit status."""
    import pickle

    import torch
    from safetensors.torch import save_file

    try:
        state = _load(torch, source)
    except pickle.UnpicklingError:
        print("it holds something other than tensors, which only running its code could read.")
        return REFUSED
    if not isinstance(state, dict) or not state:
        print("it holds no table of tensors; save model.state_dict() alone.")
        return REFUSED
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            print(
                f"{name!r} is a {type(value).__name__} and not a tensor; "
                "save model.state_dict() alone."
            )
            return REFUSED
    # A copy of each: safetensors takes no two names for one memory, and which of two tied names a
    # model wants is known to the model alone.
    tensors = {name: value.detach().clone().contiguous() for name, value in state.items()}
    save_file(tensors, target, metadata={"format": "pt"})
    return 0


def _load(torch: Any, source: str) -> Any:
    try:
        return torch.load(source, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:
        # Files older than torch 1.6 cannot be mapped into memory.
        return torch.load(source, map_location="cpu", weights_only=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
