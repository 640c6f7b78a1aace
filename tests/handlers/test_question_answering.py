from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import InputTooLong, InvalidRequest
from contracts.schemas import QaItem, QaParameters
from contracts.tasks import Task
from contracts.tensors import Tensors
from handlers.answers import MAX_CELLS, best_spans, probabilities
from handlers.base import Prepared
from handlers.pipeline import Pipeline
from handlers.question_answering import QuestionAnsweringHandler
from handlers.tokenization import TextTokenizer
from model_store.manifest import Manifest
from tests.models import ARCHITECTURES, MAX_TOKENS, tiny_tokenizer
from tests.parity.reference import recorded, reference_pipeline
from tests.parity.tasks.question_answering import CONTEXTS, MODELS, QUESTIONS
from tests.parity.texts import TEXTS

LONG = CONTEXTS["longest"]


def item(context: str, question: str = QUESTIONS[0], **parameters: object) -> QaItem:
    return QaItem(question, context, QaParameters.model_validate(parameters))


@pytest.fixture(scope="module")
def bert() -> Pipeline:
    return reference_pipeline("qa-bert")


def prepare(pipeline: Pipeline, one: QaItem) -> Prepared:
    (prepared,) = pipeline.handler.preprocess([one])
    assert isinstance(prepared, Prepared), prepared
    return prepared


def refusal(pipeline: Pipeline, one: QaItem) -> str:
    (error,) = pipeline([one])
    assert isinstance(error, InvalidRequest), error
    return str(error)


@pytest.mark.parametrize("model", MODELS)
def test_answers_equal_those_of_transformers_4(model: str) -> None:
    cases = [case for case in recorded("question_answering") if case["model"] == model]
    assert len(cases) > 80
    items = [item(CONTEXTS[case["text"]], case["question"], **case["parameters"]) for case in cases]
    for case, one, found in zip(cases, items, reference_pipeline(model)(items), strict=True):
        answers = found if isinstance(found, list) else [found]
        # transformers fills up with impossible spans of score 0, and keeps outer white space.
        expected = [answer for answer in case["answers"] if answer[1] > 1e-8]
        assert [answer["answer"] for answer in answers] == [a[0].strip() for a in expected], case
        for answer, (text, score, start, _) in zip(answers, expected, strict=True):
            assert answer["score"] == pytest.approx(score, abs=1e-5), case
            if text.strip():
                assert answer["start"] == start + len(text) - len(text.lstrip()), case
            assert one.context[answer["start"] : answer["end"]] == answer["answer"], case


def test_one_answer_is_a_dictionary_and_several_are_a_list(bert: Pipeline) -> None:
    one, several = bert([item(LONG), item(LONG, top_k=5)])
    assert isinstance(one, dict)
    assert isinstance(several, list)
    assert several == sorted(several, key=lambda answer: -answer["score"])
    assert len({answer["answer"].lower() for answer in several}) == len(several) == 5


def test_few_candidates_give_few_answers_and_no_impossible_ones(bert: Pipeline) -> None:
    (answers,) = bert([item("Honolulu Hawaii", top_k=10)])
    assert sorted(answer["answer"] for answer in answers) == [
        "Hawaii",
        "Honolulu",
        "Honolulu Hawaii",
    ]


def test_windows_hold_every_token_and_overlap_by_the_stride(bert: Pipeline) -> None:
    prepared = prepare(bert, item(LONG, doc_stride=20, max_seq_len=100))
    windows = prepared.context.windows
    assert len(windows) > 2
    assert windows[0].start == 0
    assert windows[-1].end == len(prepared.context.encoding)
    assert all(b.start == a.end - 20 for a, b in pairwise(windows))
    assert all(len(row) <= 100 for row in prepared.rows)
    assert not prepared.truncated


def test_a_long_question_is_cut_and_said_to_be(bert: Pipeline) -> None:
    question = "Where was the quick brown fox born? " * 20
    prepared = prepare(bert, item("In Hamburg.", question))
    assert prepared.truncated
    assert prepared.context.begin == 64 + 2
    assert "max_question_len" in refusal(bert, item("In Hamburg.", question, long="error"))


def test_long_contexts_are_refused_or_cut_when_asked(bert: Pipeline) -> None:
    (error,) = bert([item(LONG, long="error")])
    assert isinstance(error, InputTooLong)
    assert error.limit == 128
    assert error.tokens > 128
    cut = prepare(bert, item(LONG, long="truncate"))
    assert cut.truncated
    assert len(cut.rows) == 1
    assert len(cut.rows[0]) == 128
    for long in ("error", "truncate"):
        short = prepare(bert, item(CONTEXTS["short"], long=long))
        assert not short.truncated


def test_a_text_that_fits_the_model_is_no_error_in_small_windows(bert: Pipeline) -> None:
    assert len(prepare(bert, item(CONTEXTS["short"], long="error", max_seq_len=24)).rows) > 1


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"max_seq_len": 129}, "max_seq_len"),
        ({"doc_stride": 129}, "doc_stride"),
        ({"doc_stride": 120}, "doc_stride"),
        ({"max_seq_len": 8}, "max_seq_len"),
        ({"top_k": 1001}, "top_k"),
    ],
)
def test_parameters_that_cannot_be_are_refused_by_name(
    bert: Pipeline, parameters: dict[str, int], field: str
) -> None:
    assert f"parameters.{field}" in refusal(bert, item(LONG, **parameters))


def test_a_context_without_tokens_is_refused(bert: Pipeline) -> None:
    assert "inputs.context" in refusal(bert, item("\u200b"))


def test_an_error_stays_with_its_item(bert: Pipeline) -> None:
    good = item(CONTEXTS["short"])
    bad = item(LONG, max_seq_len=999)
    alone, (first, error, last) = bert([good]), bert([good, bad, good])
    assert isinstance(error, InvalidRequest)
    assert alone == [first] == [last]


def test_no_answer_is_empty_and_only_where_asked_for(bert: Pipeline) -> None:
    possible, all_of_them = bert(
        [item(LONG, top_k=1000), item(LONG, top_k=1000, handle_impossible_answer=True)]
    )
    (empty,) = [answer for answer in all_of_them if answer not in possible]
    assert (empty["answer"], empty["start"], empty["end"]) == ("", 0, 0)


def test_no_answer_scores_what_its_most_doubtful_window_says(bert: Pipeline) -> None:
    one = item(LONG, top_k=1000, handle_impossible_answer=True)
    prepared = prepare(bert, one)
    outputs = []
    for index, row in enumerate(prepared.rows):
        logits = np.zeros(len(row), np.float32)
        logits[0] = 2.0 if index == 1 else 8.0
        outputs.append({"start_logits": logits, "end_logits": logits})
    answers = bert.handler.postprocess(one, prepared, outputs)
    (score,) = [answer["score"] for answer in answers if answer["end"] == 0]
    window = prepared.context.windows[1]
    doubtful = np.exp(2) / (np.exp(2) + window.end - window.start)
    assert score == pytest.approx(doubtful**2)


class TokenBackend:
    """Start and end logits of a token's id: exact, and without context."""

    name, precision, device = "fake", "fp32", "cpu"
    input_names = frozenset({"input_ids", "attention_mask"})
    bytes = 0
    batchable = True
    table = np.random.default_rng(5).normal(0, 3, (2, 5000)).astype(np.float32)

    def run(self, inputs: Tensors) -> Tensors:
        start, end = self.table[:, inputs["input_ids"]]
        return {"start_logits": start, "end_logits": end}

    def close(self) -> None: ...


@pytest.fixture(scope="module", params=ARCHITECTURES)
def any_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer(folder, request.param)
    manifest = Manifest(
        task=Task.QUESTION_ANSWERING,
        architecture="Tiny",
        labels=["start", "end"],
        max_tokens=MAX_TOKENS,
    )
    tokenizer = TextTokenizer.load(folder, MAX_TOKENS)
    return Pipeline(QuestionAnsweringHandler(manifest, tokenizer), TokenBackend())


@given(
    st.lists(st.sampled_from([*TEXTS, "\r\n", "  ", "e\u0301"]) | st.text(max_size=8), min_size=1),
    st.integers(1, 5),
    st.booleans(),
)
@settings(max_examples=30)
def test_answers_are_slices_of_the_context_with_every_tokenizer(
    any_model: Pipeline, parts: list[str], top_k: int, align: bool
) -> None:
    context = " ".join(parts)
    (answers,) = any_model([item(context, top_k=top_k, align_to_words=align, max_seq_len=64)])
    if isinstance(answers, InvalidRequest):
        assert not any(map(len, any_model.handler.tokenizer.encode([context])))
        return
    for answer in answers if isinstance(answers, list) else [answers]:
        assert context[answer["start"] : answer["end"]] == answer["answer"]
        assert answer["answer"] == answer["answer"].strip()


def test_batches_do_not_change_answers(any_model: Pipeline) -> None:
    items = [item(context, top_k=3) for context in CONTEXTS.values()]
    assert any_model(items) == [any_model([one])[0] for one in items]


def slow_spans(start: list[float], end: list[float], width: int) -> list[tuple[int, int]]:
    tokens = len(start)
    spans = [(i, j) for i in range(tokens) for j in range(i, min(i + width, tokens))]
    return sorted(spans, key=lambda span: (-start[span[0]] * end[span[1]], span))


WEIGHTS = st.sampled_from([0.0, 0.0625, 0.125, 0.25, 0.5])


@given(
    st.lists(st.tuples(WEIGHTS, WEIGHTS), min_size=1, max_size=12),
    st.integers(1, 100),
    st.integers(1, 15),
)
def test_the_best_spans_are_those_of_a_search_over_all(
    weights: list[tuple[float, float]], count: int, width: int
) -> None:
    start, end = (np.array(side, np.float32) for side in zip(*weights, strict=True))
    spans = best_spans(start, end, count, width)
    expected = slow_spans(start.tolist(), end.tolist(), width)[:count]
    assert spans.scores.tolist() == [float(start[i] * end[j]) for i, j in expected]
    found = list(zip(spans.first.tolist(), spans.last.tolist(), strict=True))
    assert len(set(found)) == len(found) == len(expected)
    assert all(i <= j < i + width for i, j in found)
    assert np.array_equal(start[spans.first] * end[spans.last], spans.scores)


def test_long_windows_with_long_answers_are_searched_in_blocks() -> None:
    tokens = 1500
    assert tokens * tokens > 4 * MAX_CELLS
    start, end = np.random.default_rng(3).dirichlet(np.ones(tokens), 2).astype(np.float32)
    spans = best_spans(start, end, 20, tokens)
    everything = np.triu(np.outer(start, end))
    best = np.argsort(-everything, axis=None, kind="stable")[:20]
    assert np.array_equal(spans.first * tokens + spans.last, best)
    # The least likely start is the only one before the end that decides.
    start[0], end[0] = start[1:].min() / 2, 1e4
    spans = best_spans(start, end, 1, tokens)
    assert (spans.first.tolist(), spans.last.tolist()) == ([0], [0])


def test_probabilities_are_a_softmax_over_context_and_classification_token() -> None:
    logits = np.array([1.0, 99.0, 2.0, 3.0, 98.0], np.float32)
    context, null = probabilities(logits, 2, 4, 0)
    weights = np.exp([1.0, 2.0, 3.0]) / np.exp([1.0, 2.0, 3.0]).sum()
    assert [null, *context.tolist()] == pytest.approx(weights.tolist())
    context, null = probabilities(logits, 2, 4, None)
    assert null == 0
    assert context.sum() == pytest.approx(1)
