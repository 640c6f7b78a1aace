"""Scores of pairs, as reranking needs them: a query and a text, read together by a cross-encoder.

A cross-encoder is a classifier with one label, or with two of which the second means "fits". It is
asked as any classifier is; here is what to ask, and how one number comes out of the answer.
"""

from collections.abc import Sequence
from typing import Literal

from contracts.schemas import ClassificationItem, ClassificationParameters, LabelScore, Long

Function = Literal["softmax", "sigmoid", "none"]


def scores_pairs(labels: Sequence[str]) -> bool:
    """Whether a classifier with these labels is a cross-encoder."""
    return len(labels) in (1, 2)


def pair_parameters(labels: Sequence[str], *, raw: bool, long: Long) -> ClassificationParameters:
    """How the pairs of one request are classified; one object for all.

    Args:
        labels: of the model, by class index.
        raw: ask for logits.
        long: what is done with a pair longer than the model.
    """
    function: Function = "none" if raw else "sigmoid" if len(labels) == 1 else "softmax"
    return ClassificationParameters(top_k=None, function_to_apply=function, long=long)


def pair_item(query: str, text: str, parameters: ClassificationParameters) -> ClassificationItem:
    """The question to the model."""
    return ClassificationItem(query, text, parameters)


def pair_score(answer: Sequence[LabelScore], labels: Sequence[str], *, raw: bool) -> float:
    """How well a text fits its query: a probability, or the logit that belongs to it.

    Args:
        answer: of the model to a ``pair_item``.
        labels: of the model, by class index.
        raw: whether logits were asked for; of two labels, their difference is taken.
    """
    scores = {one["label"]: one["score"] for one in answer}
    if len(labels) == 1:
        return scores[labels[0]]
    return scores[labels[1]] - scores[labels[0]] if raw else scores[labels[1]]
