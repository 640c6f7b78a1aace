"""A seed means what it means to torch."""

import numpy as np
import pytest
import torch

from handlers.decoding.randomness import TorchRandom


@pytest.mark.parametrize("seed", [0, 1, 42, 2**31 + 7, 2**40 + 3])
@pytest.mark.parametrize("choices", [3, 50, 5000])
def test_the_same_tokens_are_drawn_as_by_torch(seed: int, choices: int) -> None:
    chances = np.random.default_rng(choices).random((6, choices)).astype(np.float32)
    generator = torch.Generator().manual_seed(seed)
    ours = TorchRandom(seed)
    for samples, row in zip((1, 1, 2, 1, 3, 1), chances, strict=True):
        drawn = torch.multinomial(torch.from_numpy(row), samples, generator=generator)
        assert ours.multinomial(row, samples).tolist() == drawn.tolist()
