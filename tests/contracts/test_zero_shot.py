"""Zero-shot classification on the wire: two shapes, by the client's release."""

import pytest
from pydantic import ValidationError

from contracts.schemas import LabelScore
from contracts.zero_shot import ZeroShotBody, entailment_index, reads_columns

ANSWER = [LabelScore(label="a", score=0.75), LabelScore(label="b", score=0.25)]
COLUMNS = {"labels": ["a", "b"], "scores": [0.75, 0.25]}


def asked(inputs: object, **parameters: object) -> ZeroShotBody:
    given = {"candidate_labels": ["a", "b"], **parameters}
    return ZeroShotBody.model_validate({"inputs": inputs, "parameters": given})


@pytest.mark.parametrize(
    ("agent", "columns"),
    [
        ("unknown/None; hf_hub/0.36.0; python/3.11.2", True),
        ("unknown/None; hf_hub/1.1.4; python/3.11.2", True),
        ("unknown/None; hf_hub/1.1.5; python/3.11.2", False),
        ("unknown/None; hf_hub/2.4.0; python/3.11.2; torch/2.13.0", False),
        ("node", False),
        ("", False),
    ],
)
def test_old_releases_of_hugging_faces_client_get_columns(agent: str, columns: bool):
    assert reads_columns(agent) is columns
    expected = COLUMNS if columns else ANSWER
    assert asked("t").shape_for(agent, [ANSWER]) == expected
    assert asked(["t", "t"]).shape_for(agent, [ANSWER, ANSWER]) == [expected, expected]


def test_labels_may_stand_in_one_string_with_commas():
    [item] = asked("t", candidate_labels=" a,b c, ,d").items()
    assert item.candidate_labels == ("a", "b c", "d")
    with pytest.raises(ValidationError):
        asked("t", candidate_labels=" , ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"candidate_labels": []},
        {"candidate_labels": [" "]},
        {"hypothesis_template": "no place"},
        {"hypothesis_template": "{0}"},
    ],
)
def test_labels_and_their_place_are_needed(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        asked("t", **wrong)


def test_entailment_is_found_by_its_name():
    assert entailment_index(["contradiction", "neutral", "ENTAILMENT"]) == 2
    assert entailment_index(["entail", "not_entail"]) == 0
    assert entailment_index(["not_entailment", "entailment"]) == 1
    assert entailment_index(["yes", "no"]) is None
    assert entailment_index(["entailment"]) is None
