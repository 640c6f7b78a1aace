"""One number out of a cross-encoder's answer."""

import pytest

from contracts.pairs import pair_item, pair_parameters, pair_score, scores_pairs
from contracts.schemas import LabelScore


def test_one_label_is_a_sigmoid_and_two_a_softmax_unless_raw_scores_are_wanted():
    assert pair_parameters(["x"], raw=False, long="error").function_to_apply == "sigmoid"
    assert pair_parameters(["x", "y"], raw=False, long="error").function_to_apply == "softmax"
    for labels in (["x"], ["x", "y"]):
        parameters = pair_parameters(labels, raw=True, long="truncate")
        assert parameters.function_to_apply == "none"
        assert (parameters.top_k, parameters.long) == (None, "truncate")
        assert pair_item("q", "t", parameters).text_pair == "t"


def test_the_score_of_two_labels_is_the_seconds():
    answer = [LabelScore(label="no", score=3.0), LabelScore(label="yes", score=1.0)]
    assert pair_score(answer, ["no", "yes"], raw=False) == 1.0
    assert pair_score(answer, ["no", "yes"], raw=True) == pytest.approx(-2.0)
    assert pair_score(answer[:1], ["no"], raw=True) == 3.0


def test_more_labels_score_no_pairs():
    assert [scores_pairs("x" * count) for count in range(4)] == [False, True, True, False]
