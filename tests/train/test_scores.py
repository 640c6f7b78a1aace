import random
import re
from collections import Counter

import pytest

from train.baselines import Gazetteer, NaiveBayes, closest_sentence, frequent_sentences
from train.scores import (
    answer_scores,
    chrf,
    pearson,
    rouge_l,
    rouge_n,
    set_scores,
    span_scores,
    words,
)


def test_set_scores_by_hand() -> None:
    truth, found = list("aabbccda"), list("abbbcaca")
    scores = set_scores([{one} for one in truth], [{one} for one in found])
    assert scores["accuracy"] == scores["micro_f1"] == 5 / 8
    assert scores["macro_f1"] == pytest.approx((4 / 6 + 4 / 5 + 2 / 4 + 0) / 4)


def test_a_span_counts_only_with_both_ends_and_its_type() -> None:
    truth = [[(0, 5, "PER"), (9, 14, "LOC")], [(0, 3, "ORG")]]
    found = [[(0, 5, "PER"), (9, 13, "LOC")], [(0, 3, "LOC")]]
    scores = span_scores(truth, found)
    assert scores["precision"] == scores["recall"] == pytest.approx(1 / 3)
    assert span_scores(truth, truth)["entity_f1"] == 1
    assert span_scores(truth, [[], []])["entity_f1"] == 0


@pytest.mark.parametrize(
    ("answers", "found", "exact", "f1"),
    [
        (["The Shop"], "shop!", 1, 1),
        (["two weeks", "14 days"], "14 days.", 1, 1),
        (["two weeks"], "weeks", 0, 2 / 3),
        ([], "", 1, 1),
        ([], "weeks", 0, 0),
        (["weeks"], "", 0, 0),
        (["北京大学"], "北京", 0, 2 / 3),
    ],
)
def test_answers_are_scored_as_squad_does(
    answers: list[str], found: str, exact: float, f1: float
) -> None:
    assert answer_scores(answers, found) == pytest.approx((exact, f1))


def test_rouge_by_hand() -> None:
    truth, found = words("the cat sat on the mat"), words("the cat on a mat")
    assert rouge_n(truth, found, 1) == pytest.approx(2 * 4 / 11)
    assert rouge_n(truth, found, 2) == pytest.approx(2 * 1 / 9)
    assert rouge_l(truth, found) == pytest.approx(2 * 4 / 11)
    assert rouge_l(truth, []) == 0


@pytest.mark.parametrize(
    ("truth", "found", "n", "score"),
    [
        ("testing one two", "testing", 1, 1 / 2),
        ("testing one two", "testing one", 2, 2 / 3),
        ("testing one two", "testing one", 0, 4 / 5),
        ("testing one two", "testing two", 0, 4 / 5),
    ],
)
def test_rouge_is_that_of_google_research(truth: str, found: str, n: int, score: float) -> None:
    """The examples of ``rouge_score``'s own tests; 0 stands for ROUGE-L."""
    a, b = words(truth), words(found)
    assert (rouge_n(a, b, n) if n else rouge_l(a, b)) == pytest.approx(score)


def test_rouge_equals_a_second_writing_of_google_researchs_definitions() -> None:
    """Its tokens, without stemming, and a longest common subsequence by the whole table."""
    draw = random.Random(0)
    pieces = ["The", "cat", "cat's", "#Person1#:", "sat,", "7-up", "mat.", "A", "a", "B_2", "--"]

    def tokens(text: str) -> list[str]:
        return re.sub(r"[^a-z0-9]+", " ", text.lower()).split()

    def common(a: list[str], b: list[str]) -> int:
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, one in enumerate(a, 1):
            for j, other in enumerate(b, 1):
                longer = max(table[i - 1][j], table[i][j - 1])
                table[i][j] = table[i - 1][j - 1] + 1 if one == other else longer
        return table[-1][-1]

    def f(right: int, found: int, wanted: int) -> float:
        precision, recall = right / max(found, 1), right / max(wanted, 1)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    for _ in range(300):
        truth, found = (" ".join(draw.choices(pieces, k=draw.randint(0, 9))) for _ in range(2))
        a, b = tokens(truth), tokens(found)
        for n in (1, 2):
            wanted = Counter(tuple(a[i : i + n]) for i in range(len(a) - n + 1))
            claimed = Counter(tuple(b[i : i + n]) for i in range(len(b) - n + 1))
            right = sum(min(count, claimed[gram]) for gram, count in wanted.items())
            expected = f(right, claimed.total(), wanted.total())
            assert rouge_n(words(truth), words(found), n) == pytest.approx(expected)
        expected = f(common(a, b), len(b), len(a))
        assert rouge_l(words(truth), words(found)) == pytest.approx(expected)


def test_chrf_by_hand() -> None:
    assert chrf([["a b c"]], ["a b c"]) == 1.0
    assert chrf([["abc"]], ["xyz"]) == 0.0
    assert chrf([["abc"]], [""]) == 0.0
    # n = 1: 1 of 2 and 1 of 2; n = 2: none. Both means are 1/4.
    assert chrf([["ab"]], ["aa"]) == pytest.approx(1 / 4)
    # n = 1: 2 of 2 found, 2 of 3 wanted; n = 2: 1 of 1, 1 of 2; n = 3 occurs on one side only.
    precision, recall = 1.0, (2 / 3 + 1 / 2) / 2
    assert chrf([["abc"]], ["ab"]) == pytest.approx(5 * precision * recall / (4 + recall))
    # The nearest of several references counts, and counts are summed over texts.
    assert chrf([["xyz", "abc"], ["ab"]], ["abc", "ab"]) == 1.0
    assert chrf([["ab"], ["cd"]], ["ab", "xy"]) == pytest.approx(1 / 2)


def test_words_are_single_characters_in_chinese() -> None:
    assert words("Hi 北京, it's") == ["hi", "北", "京", "it", "s"]
    assert words("DNA研究2号𠮷々") == ["dna", "研", "究", "2", "号", "𠮷", "々"]
    assert rouge_n(words("深海研究"), words("研究深海"), 1) == 1.0
    assert rouge_l(words("深海研究"), words("研究深海")) == 0.5


def test_pearson_is_one_for_a_line_and_zero_for_a_constant() -> None:
    assert pearson([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert pearson([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert pearson([1, 2, 3], [5, 5, 5]) == 0


def test_baselines_answer_from_words_alone() -> None:
    bayes = NaiveBayes([("my parcel is late", ("delivery",)), ("refund please", ("money",))] * 2)
    assert bayes("where is the parcel") == ("delivery",)
    assert bayes("I want a refund") == ("money",)
    gazetteer = Gazetteer([("New York", "LOC"), ("York", "PER")])
    assert [one["word"] for one in gazetteer("from New York to York")] == ["New York", "York"]
    context = "It rains. The shop opens at nine. Bye."
    assert closest_sentence("When does the shop open?", context)["answer"].startswith("The shop")
    assert frequent_sentences(["A dog.", "A dog ran.", "Zebra."], 1) == ["A dog."]
