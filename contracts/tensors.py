"""The arrays that cross the backend seam."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""One numpy array; the first axis is always the row."""

Tensors = dict[str, Array]
"""Named arrays: ``input_ids`` and ``attention_mask`` in, ``logits`` (or other outputs) out."""

IDS = np.int64
"""The element type of every input: what ONNX graphs exported from torch expect."""
