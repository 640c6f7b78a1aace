"""From labelled text to a served version: fit, export, compress, verify, publish."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from train.api import Training, pipeline

__all__ = ["Training", "pipeline"]

# Torch's threads spin while they wait for each other. Where other processes want the cores too, one
# of them is then waited for by burning the time that it needs: a step took six times as long on a
# busy machine. Torch reads this when it is imported, which train does later.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    """Import the Python API when it is asked for: ``import train`` stays light."""
    if name in __all__:
        from train import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
