from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import CheckpointError, InputTooLong, InvalidRequest, ServingError
from contracts.schemas import SummaryItem, SummaryParameters
from contracts.tasks import Task
from contracts.tensors import Tensors
from handlers.base import Prepared
from handlers.pipeline import Pipeline
from handlers.selection import count_words
from handlers.sentence_rows import Place
from handlers.sentences import sentences
from handlers.summarization import SummarizationHandler, keep_scores
from handlers.tokenization import TextTokenizer
from model_store.manifest import Manifest
from tests.models import ARCHITECTURES, MAX_TOKENS, tiny_tokenizer

ARTICLE = (
    "The shop in München opens at nine. Dr. Smith paid $3.50 for the parcel! Barack Obama was born "
    "in Honolulu. The quick brown fox jumps over the lazy dog. Where is the money? Microsoft and "
    "Google announced unbelievable new products. Siemens is at home in Berlin."
)
SHORT = "The shop opens at nine. Dr. Smith paid $3.50! The quick brown fox jumps. Where is Berlin?"
CHINESE = "我爱北京天安门。上海是一个很大的城市。今天天气很好，我们去公园吧。价格是3.50元。"
LONG = " ".join(f"{ARTICLE} Order {number} has not arrived." for number in range(12))
SENTENCES = st.lists(
    st.sampled_from(
        [ARTICLE[start:end] for start, end in sentences(ARTICLE)]
        + [CHINESE[start:end] for start, end in sentences(CHINESE)]
        + ["😀!", "Yes.", "1. A point.", "And\r\nmore."]
    ),
    min_size=1,
    max_size=30,
)


class ContextBackend:
    """Token logits of a token's own embedding and of its neighbours': what a row shows matters."""

    name, precision, device = "fake", "fp32", "cpu"
    input_names = frozenset({"input_ids", "attention_mask"})
    bytes = 0
    batchable = True

    def __init__(self, labels: int) -> None:
        self.table = np.random.default_rng(5).normal(0, 1, (5000, labels)).astype(np.float32)

    def run(self, inputs: Tensors) -> Tensors:
        ids = inputs["input_ids"]
        logits = sum(np.roll(self.table[ids], -step, axis=1) for step in range(4))
        return {"logits": np.asarray(logits)}

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer(folder, "bert")
    return TextTokenizer.load(folder, MAX_TOKENS)


def manifest(labels: Sequence[str] = ("keep",), **defaults: object) -> Manifest:
    return Manifest(
        task=Task.SUMMARIZATION,
        architecture="BertForTokenClassification",
        labels=list(labels),
        max_tokens=MAX_TOKENS,
        generation_defaults=defaults,
    )


def pipeline(
    tokenizer: TextTokenizer, labels: Sequence[str] = ("keep",), **defaults: object
) -> Pipeline:
    handler = SummarizationHandler(manifest(labels, **defaults), tokenizer)
    return Pipeline(handler, ContextBackend(len(labels)))


def item(text: str, **parameters: object) -> SummaryItem:
    return SummaryItem(text, SummaryParameters.model_validate(parameters))


def answer(summarise: Pipeline, text: str, **parameters: object) -> str:
    (summary,) = summarise([item(text, **parameters)])
    assert not isinstance(summary, ServingError), summary
    return str(summary["summary_text"])


def prepare(summarise: Pipeline, text: str, **parameters: object) -> Prepared:
    (prepared,) = summarise.handler.preprocess([item(text, **parameters)])
    assert isinstance(prepared, Prepared), prepared
    return prepared


def places_in(text: str, summary: str, separator: str = " ") -> list[int]:
    """Where the sentences of a summary begin in the text, in the summary's order."""
    found = []
    for start, end in sentences(text):
        if summary.startswith(text[start:end]):
            found.append(start)
            summary = summary[end - start :].removeprefix(separator)
    assert not summary, f"not a row of sentences of the text: {summary}"
    return found


# --- summaries


def test_a_summary_is_the_best_three_sentences_in_their_order(tokenizer: TextTokenizer) -> None:
    summarise = pipeline(tokenizer)
    assert len(places_in(ARTICLE, answer(summarise, ARTICLE))) == 3
    prepared = prepare(summarise, SHORT)
    (output,) = summarise.run(prepared.rows, 128)
    scores = [output["logits"][at.start : at.end, 0].mean() for at in prepared.context.places]
    best = sorted(np.argsort(scores)[-2:])
    chosen = " ".join(SHORT[slice(*prepared.context.spans[index])] for index in best)
    assert answer(summarise, SHORT, max_sentences=2) == chosen


def test_the_score_is_the_mean_over_a_sentence_and_its_special_tokens(
    tokenizer: TextTokenizer,
) -> None:
    prepared = prepare(pipeline(tokenizer), SHORT)
    (row,) = prepared.rows
    first, last = tokenizer.single_prefix[0], tokenizer.single_suffix[0]
    starts = [at for at, token in enumerate(row.input_ids) if token == first]
    ends = [at + 1 for at, token in enumerate(row.input_ids) if token == last]
    assert prepared.context.places == [Place(0, *span) for span in zip(starts, ends, strict=True)]
    assert row.token_type_ids == [0] * len(row)
    assert len(prepared.context.places) == len(sentences(SHORT)) == 4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_tokenizer_marks_the_sentences(architecture: str, tmp_path: Path) -> None:
    tiny_tokenizer(tmp_path, architecture)
    tokenizer = TextTokenizer.load(tmp_path, MAX_TOKENS)
    prepared = prepare(pipeline(tokenizer), LONG)
    assert len(prepared.context.places) == len(sentences(LONG))
    for place in prepared.context.places:
        ids = prepared.rows[place.row].input_ids
        assert ids[place.start] == tokenizer.single_prefix[0]
        assert ids[place.end - 1] == tokenizer.single_suffix[-1]
    assert len(places_in(ARTICLE, answer(pipeline(tokenizer), ARTICLE))) == 3


def test_all_sentences_come_back_where_there_are_few(tokenizer: TextTokenizer) -> None:
    summarise = pipeline(tokenizer)
    assert answer(summarise, ARTICLE, max_sentences=50) == ARTICLE
    assert answer(summarise, "Only this", max_sentences=3) == "Only this"


@given(SENTENCES, st.integers(1, 6))
def test_summaries_are_sentences_of_the_text_in_their_order_and_once(
    tokenizer: TextTokenizer, parts: list[str], count: int
) -> None:
    text = "\n\n".join(parts)
    summarise = pipeline(tokenizer)
    prepared = prepare(summarise, text, max_sentences=count)
    outputs = [summarise.run([row], 128)[0] for row in prepared.rows]
    summary = summarise.handler.postprocess(item(text, max_sentences=count), prepared, outputs)
    known = [text[start:end] for start, end in sentences(text)]
    left, taken = str(summary["summary_text"]), list[str]()
    for sentence in known:
        if left.startswith(sentence) and sentence not in taken:
            taken.append(sentence)
            left = left.removeprefix(sentence).removeprefix(" ")
    assert not left
    assert 1 <= len(taken) <= count


def test_chinese_is_summarised_without_spaces(tokenizer: TextTokenizer) -> None:
    summary = answer(pipeline(tokenizer), CHINESE, max_sentences=2)
    assert len(places_in(CHINESE, summary, "")) == 2
    assert " " not in summary


def test_two_labels_keep_by_the_second_and_one_by_itself() -> None:
    logits = np.array([[0.0, 2.0], [1.0, -1.0], [-200.0, 200.0]], np.float32)
    softmax = np.exp(logits[:2]) / np.exp(logits[:2]).sum(1, keepdims=True)
    assert keep_scores(logits).tolist() == pytest.approx([*softmax[:, 1].tolist(), 1.0])
    single = np.array([[0.0], [3.0], [-1000.0]], np.float32)
    assert keep_scores(single).tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-3)), 0.0])
    close = keep_scores(np.array([[20.0], [21.0]], np.float32))
    assert close[0] < close[1]


def test_labels_that_say_nothing_are_refused(tokenizer: TextTokenizer) -> None:
    with pytest.raises(CheckpointError, match="3: train"):
        SummarizationHandler(manifest(("a", "b", "c")), tokenizer)


@pytest.mark.parametrize("default", [0, "3", True])
def test_defaults_that_cannot_be_are_refused(tokenizer: TextTokenizer, default: object) -> None:
    with pytest.raises(CheckpointError, match=r"max_sentences in manifest\.json"):
        SummarizationHandler(manifest(max_sentences=default), tokenizer)


def test_an_answer_does_not_depend_on_its_neighbours(tokenizer: TextTokenizer) -> None:
    summarise = pipeline(tokenizer, ("drop", "keep"))
    items = [item(text) for text in (ARTICLE, LONG, CHINESE, "One.", LONG[100:])]
    assert summarise(items) == [summarise([one])[0] for one in items]


# --- budgets


@pytest.mark.parametrize("words", [8, 15, 30, 1000])
def test_a_budget_of_words_is_kept_and_used(tokenizer: TextTokenizer, words: int) -> None:
    summary = answer(pipeline(tokenizer), LONG, max_length=words)
    assert count_words(summary) <= words
    if words == 30:
        assert count_words(summary) > 15


def test_a_budget_of_tokens_is_kept(tokenizer: TextTokenizer) -> None:
    for key in ("max_length", "max_new_tokens"):
        summary = answer(pipeline(tokenizer), LONG, generate_parameters={key: 40})
        (encoding,) = tokenizer.encode([summary])
        assert 20 < len(encoding) <= 40
    both = {"max_length": 5, "max_new_tokens": 40}
    assert answer(pipeline(tokenizer), LONG, generate_parameters=both) == summary


def test_one_sentence_comes_back_however_small_the_budget_is(tokenizer: TextTokenizer) -> None:
    assert len(places_in(ARTICLE, answer(pipeline(tokenizer), ARTICLE, max_length=1))) == 1


def test_the_callers_limits_go_before_the_checkpoints(tokenizer: TextTokenizer) -> None:
    summarise = pipeline(tokenizer, max_sentences=1)
    by_length = pipeline(tokenizer, max_length=1000)
    count = {
        "a length": answer(by_length, ARTICLE),
        "none": answer(summarise, ARTICLE),
        "sentences": answer(summarise, ARTICLE, max_sentences=4),
        "hugging face": answer(summarise, ARTICLE, generate_parameters={"max_sentences": 4}),
        "words": answer(summarise, ARTICLE, max_length=1000),
    }
    assert {name: len(places_in(ARTICLE, text)) for name, text in count.items()} == {
        "a length": 7,
        "none": 1,
        "sentences": 4,
        "hugging face": 4,
        "words": 7,
    }


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("max_lenght", 10, "max_length"),
        ("num_beam", 4, "num_beams"),
        ("zzz", 1, "max_sentences"),
        ("max_length", 0, "whole number"),
        ("max_new_tokens", "10", "whole number"),
        ("max_sentences", True, "whole number"),
    ],
)
def test_generate_parameters_that_cannot_be_are_refused(
    tokenizer: TextTokenizer, key: str, value: object, says: str
) -> None:
    (error,) = pipeline(tokenizer)([item(ARTICLE, generate_parameters={key: value})])
    assert isinstance(error, InvalidRequest)
    assert says in str(error)
    assert key in str(error)


def test_what_only_generation_knows_changes_nothing(tokenizer: TextTokenizer) -> None:
    known = {"do_sample": False, "num_beams": 4, "min_length": 30, "max_length": None}
    summarise = pipeline(tokenizer)
    assert answer(summarise, LONG, generate_parameters=known) == answer(summarise, LONG)


# --- long texts


def test_long_texts_are_read_to_their_end(tokenizer: TextTokenizer) -> None:
    prepared = prepare(pipeline(tokenizer), LONG)
    assert len(prepared.rows) > 5
    assert len(prepared.context.spans) == len(sentences(LONG))
    assert not prepared.truncated
    (last,) = (place for place in prepared.context.places[-1:])
    assert last.row == len(prepared.rows) - 1


@pytest.mark.parametrize("parameters", [{"long": "truncate"}, {"truncation": "only_first"}])
def test_a_text_may_be_cut_to_its_first_row(
    tokenizer: TextTokenizer, parameters: dict[str, str]
) -> None:
    prepared = prepare(pipeline(tokenizer), LONG, **parameters)
    assert prepared.truncated
    assert len(prepared.rows) == 1
    assert len(prepared.context.spans) < len(sentences(LONG))
    assert answer(pipeline(tokenizer), LONG, **parameters)
    assert not prepare(pipeline(tokenizer), "Short. Text.", **parameters).truncated


def test_a_text_may_be_refused_for_its_length(tokenizer: TextTokenizer) -> None:
    (error,) = pipeline(tokenizer)([item(LONG, long="error")])
    assert isinstance(error, InputTooLong)
    assert error.tokens > error.limit == 128
    assert answer(pipeline(tokenizer), "Short. Text.", long="error") == "Short. Text."


def test_a_sentence_longer_than_a_row_is_scored_by_its_beginning(tokenizer: TextTokenizer) -> None:
    text = "The quick brown fox " + "and the lazy dog " * 60 + "ran."
    prepared = prepare(pipeline(tokenizer), text)
    assert prepared.truncated
    assert [len(row) for row in prepared.rows] == [128]
    assert answer(pipeline(tokenizer), text) == text


def test_a_text_without_tokens_is_refused(tokenizer: TextTokenizer) -> None:
    (error,) = pipeline(tokenizer)([item("\u200b")])
    assert isinstance(error, InvalidRequest)


def test_one_tokeniser_call_serves_all_items(tokenizer: TextTokenizer) -> None:
    calls: list[int] = []

    class Counting(TextTokenizer):
        def encode(self, texts: Sequence[str]):  # type: ignore[no-untyped-def]
            calls.append(len(texts))
            return super().encode(texts)

    counting = Counting(tokenizer.raw, MAX_TOKENS, tokenizer.pad_id)
    SummarizationHandler(manifest(), counting).preprocess([item(ARTICLE), item(CHINESE)])
    assert calls == [7 + 4]
