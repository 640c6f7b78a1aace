"""What may watch and steer a run: ``Callback``, the ``Run`` it is given, and the built-in ones.

Only ``relay``, ``curves`` and ``progress`` import transformers: a recipe is checked without it.
"""

from train.callbacks.base import Callback
from train.callbacks.run import Run

__all__ = ["Callback", "Run"]
