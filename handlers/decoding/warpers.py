"""Which tokens may be drawn, and how evenly: temperature, top-k, top-p, min-p, typical.

Each is that of transformers' ``logits_process.py``; where it sorts, ties may fall otherwise.
"""

import numpy as np

from contracts.tensors import Array
from handlers.decoding.settings import Decoding


def warp(scores: Array, decoding: Decoding) -> Array:
    """Apply the request's warpers in transformers' order.

    Args:
        scores: float32 ``(rows, vocabulary)``; may be changed.
        decoding: the request's parameters.

    Returns:
        The warped scores; what may not be drawn is -inf.
    """
    # Beam search must keep one token beside the ends, or it has nothing to go on with.
    keep = len(decoding.eos_ids) + 1 if decoding.num_beams > 1 else 1
    if decoding.temperature != 1.0:
        scores = scores / np.float32(decoding.temperature)
    if decoding.top_k:
        scores = _top_k(scores, max(decoding.top_k, keep))
    if decoding.top_p < 1.0:
        scores = _top_p(scores, decoding.top_p, keep)
    if decoding.min_p:
        scores = _min_p(scores, decoding.min_p, keep)
    if decoding.typical_p < 1.0:
        scores = _typical(scores, decoding.typical_p, keep)
    return scores


def softmax(scores: Array) -> Array:
    """Over the last axis, in float32."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def log_softmax(scores: Array) -> Array:
    """Over the last axis, in float32."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _top_k(scores: Array, k: int) -> Array:
    if k >= scores.shape[-1]:
        return scores
    least = np.partition(scores, -k, axis=-1)[:, -k, None]
    return np.where(scores < least, np.float32(-np.inf), scores)


def _top_p(scores: Array, top_p: float, keep: int) -> Array:
    order = np.argsort(scores, axis=-1, kind="stable")
    mass = softmax(np.take_along_axis(scores, order, axis=-1)).cumsum(axis=-1)
    drop = mass <= np.float32(1 - top_p)
    drop[:, -keep:] = False
    return _without(scores, order, drop)


def _min_p(scores: Array, min_p: float, keep: int) -> Array:
    probabilities = softmax(scores)
    drop = probabilities < np.float32(min_p) * probabilities.max(axis=-1, keepdims=True)
    best = np.argpartition(probabilities, -keep, axis=-1)[:, -keep:]
    np.put_along_axis(drop, best, False, axis=-1)
    return np.where(drop, np.float32(-np.inf), scores)


def _typical(scores: Array, mass: float, keep: int) -> Array:
    """Locally typical sampling (Meister et al., 2022)."""
    logs = log_softmax(scores)
    chances = np.exp(logs)
    entropy = -(np.where(chances > 0, logs, 0) * chances).sum(axis=-1, keepdims=True)
    surprise = np.abs(-logs - entropy)
    order = np.argsort(surprise, axis=-1, kind="stable")
    ranked = np.take_along_axis(surprise, order, axis=-1)
    total = softmax(np.take_along_axis(scores, order, axis=-1)).cumsum(axis=-1)
    last = np.minimum((total < np.float32(mass)).sum(axis=-1), scores.shape[-1] - 1)
    drop = ranked > np.take_along_axis(ranked, last[:, None], axis=-1)
    drop[:, :keep] = False
    return _without(scores, order, drop)


def _without(scores: Array, order: Array, drop: Array) -> Array:
    """Set to -inf what ``drop`` says of the tokens in ``order``."""
    mask = np.empty_like(drop)
    np.put_along_axis(mask, order, drop, axis=-1)
    return np.where(mask, np.float32(-np.inf), scores)
