"""Random choice that equals torch's: the same seed draws the same tokens as ``generate``.

``torch.multinomial`` draws an exponential variate for every token and takes the largest quotients
of probability and variate (the exponential race). Its variates come from 53 bits of two outputs of
MT19937, which numpy has as well; so a seed means the same with and without torch.
"""

import numpy as np

from contracts.tensors import Array

_MANTISSA = (1 << 53) - 1


class TorchRandom:
    """The stream of ``torch.manual_seed(seed)`` on a CPU, as far as ``multinomial`` reads it."""

    def __init__(self, seed: int) -> None:
        """Begin at the beginning.

        Args:
            seed: torch, too, reads its lower 32 bits only.
        """
        self._bits = np.random.RandomState(seed & 0xFFFFFFFF)

    def multinomial(self, probabilities: Array, samples: int = 1) -> Array:
        """Draw without replacement.

        Args:
            probabilities: float32 ``(choices,)``; need not sum to one.
            samples: how many, at most ``choices``.

        Returns:
            Indices, int64 ``(samples,)``, in the order of torch: the winner of the race first.
        """
        quotients = probabilities / self._exponential(len(probabilities))
        if samples == 1:
            return np.array([quotients.argmax()])
        order = np.argpartition(-quotients, samples - 1)[:samples]
        return np.asarray(order[np.argsort(-quotients[order], kind="stable")])

    def _exponential(self, count: int) -> Array:
        words = self._bits.randint(0, 1 << 32, size=(count, 2), dtype=np.uint64)
        bits = (words[:, 0] << np.uint64(32) | words[:, 1]) & np.uint64(_MANTISSA)
        uniform = bits.astype(np.float64) / (1 << 53)
        return np.asarray((-np.log1p(-uniform)).astype(np.float32))
