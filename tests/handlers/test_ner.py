"""NER: parity with transformers 4.57, tag schemes, offsets into the original text, windows."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import CheckpointError, InputTooLong, InvalidRequest
from contracts.schemas import Entity
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.ner import NerHandler
from handlers.pipeline import Pipeline
from handlers.tags import group_starts, read_tags
from handlers.word_windows import cuts_between, word_windows
from tests.handlers.lookup import lookup_pipeline, tag
from tests.models import ARCHITECTURES, LABELS
from tests.parity.reference import recorded, reference_pipeline
from tests.parity.tasks.ner import MODELS, STRATEGIES
from tests.parity.texts import TEXTS

BIO = list(LABELS[Task.TOKEN_CLASSIFICATION])
BIOES = ["O", *(f"{prefix}-{name}" for name in ("PER", "LOC") for prefix in "BIES")]
BILOU = ["O", *(f"{prefix}-{name}" for name in ("PER", "LOC") for prefix in "BILU")]

PIECES = st.sampled_from(
    [
        *TEXTS,
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "é",
        "e\u0301",
        "😀",
        "京",
        "İ",
        "ﬁ",
        "\u00a0",
        "Ǆ",
        "x",
    ]
)
ODD_TEXTS = st.lists(PIECES | st.text(max_size=6), min_size=1, max_size=6).map("".join)


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pipeline]:
    """By architecture; every tokenizer family."""
    root: Path = tmp_path_factory.mktemp("ner")
    return {
        architecture: lookup_pipeline(
            root / architecture, architecture, Task.TOKEN_CLASSIFICATION, BIO
        )
        for architecture in ARCHITECTURES
    }


def _as_we_promise(text: str, entities: list[list[Any]], overlap: bool) -> list[list[Any]]:
    """transformers' spans under our two promises: no whitespace at the edges, no overlaps."""
    found, taken = [], 0
    for label, score, start, end, *index in entities:
        if not overlap:
            start = max(start, taken)
        piece = text[start:end]
        if piece.strip():
            start += len(piece) - len(piece.lstrip())
            taken = start + len(piece.strip())
            found.append([label, score, start, taken, *index])
    return found


@pytest.mark.parametrize("name", MODELS)
def test_entities_equal_those_of_transformers(name: str) -> None:
    cases = [case for case in recorded("ner") if case["model"] == name]
    items = [
        tag(
            case["text"],
            aggregation_strategy=case["strategy"],
            ignore_labels=case["ignore_labels"],
            long="truncate",
        )
        for case in cases
    ]
    compared = 0
    for case, answer in zip(cases, reference_pipeline(name)(items), strict=True):
        text, none = case["text"], case["strategy"] == "none"
        expected = _as_we_promise(text, case["entities"], overlap=none)
        key = "entity" if none else "entity_group"
        found = [
            [one[key], one["start"], one["end"], *([one["index"]] if none else [])]
            for one in answer
        ]
        assert found == [[label, *rest] for label, _, *rest in expected], case
        assert [one["score"] for one in answer] == pytest.approx(
            [one[1] for one in expected], abs=1e-5
        ), case
        compared += len(found)
    assert compared > 800


def test_word_piece_spans_are_compared_as_they_were_recorded() -> None:
    for case in recorded("ner"):
        if case["model"].startswith("ner-bert"):
            clean = _as_we_promise(case["text"], case["entities"], overlap=False)
            assert clean == case["entities"]


def check_spans(text: str, entities: list[Entity], overlap: bool) -> None:
    end = 0
    for entity in entities:
        assert 0 <= entity["start"] < entity["end"] <= len(text)
        assert entity["word"] == text[entity["start"] : entity["end"]]
        assert entity["word"] == entity["word"].strip()
        assert 0 < entity["score"] <= 1
        assert type(entity["score"]) is float
        if not overlap:
            assert entity["start"] >= end
        end = entity["end"]


@pytest.mark.parametrize("architecture", ["bert", "roberta", "modernbert", "xlm-roberta", "albert"])
@given(text=ODD_TEXTS, strategy=st.sampled_from(STRATEGIES), stride=st.integers(0, 40))
def test_entities_are_slices_of_the_text_in_order(
    pipelines: dict[str, Pipeline], architecture: str, text: str, strategy: str, stride: int
) -> None:
    [answer] = pipelines[architecture]([tag(text, aggregation_strategy=strategy, stride=stride)])
    check_spans(text, answer, overlap=strategy == "none")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_text_gives_clean_spans_with_every_strategy(
    pipelines: dict[str, Pipeline], architecture: str
) -> None:
    items = [
        tag(text, aggregation_strategy=strategy, ignore_labels=ignored)
        for text in TEXTS
        for strategy in STRATEGIES
        for ignored in (["O"], [])
    ]
    answers = pipelines[architecture](items)
    for item, answer in zip(items, answers, strict=True):
        check_spans(item.text, answer, overlap=item.parameters.aggregation_strategy == "none")
    assert sum(map(len, answers)) > 1000


def test_items_with_different_parameters_do_not_touch_each_other(
    pipelines: dict[str, Pipeline],
) -> None:
    text = "Angela Merkel visited Paris and unbelievable São Paulo. "
    items = [
        tag(text),
        tag(text, aggregation_strategy="none", ignore_labels=[]),
        tag(text * 30, long="error"),
        tag(text * 30, long="truncate", aggregation_strategy="first"),
        tag(text * 30, stride=10, aggregation_strategy="max"),
        tag(text * 30, stride=500),
        tag(text * 30),
        tag(text, aggregation_strategy="average", ignore_labels=["PER"]),
    ]
    for pipeline in pipelines.values():
        together = pipeline(items)
        alone = [pipeline([item])[0] for item in items]
        assert list(map(repr, together)) == list(map(repr, alone))
        assert isinstance(together[2], InputTooLong)
        assert isinstance(together[5], InvalidRequest)


def test_ignored_labels_are_types_for_groups_and_labels_for_tokens(
    pipelines: dict[str, Pipeline],
) -> None:
    text = " ".join(TEXTS[:8])
    pipeline = pipelines["bert"]
    everything, groups, tokens, labels = pipeline(
        [
            tag(text, ignore_labels=[]),
            tag(text, ignore_labels=["O", "PER", "B-LOC"]),
            tag(text, ignore_labels=["O", "PER", "B-LOC"], aggregation_strategy="none"),
            tag(text, ignore_labels=[], aggregation_strategy="none"),
        ]
    )
    kept = [one for one in everything if one["entity_group"] not in ("O", "PER")]
    assert groups == kept
    assert {one["entity_group"] for one in groups} == {"LOC", "ORG"}
    assert tokens == [one for one in labels if one["entity"] not in ("O", "B-LOC")]


@pytest.mark.parametrize(
    ("labels", "sequence", "expected"),
    [
        (BIO, "O B-PER I-PER O", "O PER:2 O"),
        (BIO, "B-PER B-PER I-PER", "PER:1 PER:2"),
        (BIO, "I-PER I-LOC B-LOC I-LOC", "PER:1 LOC:1 LOC:2"),
        (BIO, "B-PER I-ORG", "PER:1 ORG:1"),
        (["O", "I-PER", "B-PER"], "I-PER I-PER B-PER", "PER:2 PER:1"),
        (BIOES, "B-PER I-PER E-PER S-PER S-PER", "PER:3 PER:1 PER:1"),
        (BIOES, "B-PER E-PER I-PER E-LOC", "PER:2 PER:1 LOC:1"),
        (BIOES, "O I-PER S-PER I-PER", "O PER:1 PER:1 PER:1"),
        (BILOU, "B-PER I-PER L-PER U-PER U-LOC L-LOC", "PER:3 PER:1 LOC:1 LOC:1"),
        (["O", "B-T", "M-T", "E-T", "S-T"], "B-T M-T E-T B-T E-T", "T:3 T:2"),
        (["O", "PER", "phone-number"], "PER PER phone-number O", "PER:2 phone-number:1 O"),
        (["O", "E-MAIL", "S-CLASS"], "E-MAIL E-MAIL S-CLASS", "E-MAIL:2 S-CLASS:1"),
        (["O", "B-PER", "I-PER", "MISC"], "B-PER MISC MISC I-PER", "PER:1 MISC:2 PER:1"),
    ],
)
def test_tags_group_as_their_scheme_means(labels: list[str], sequence: str, expected: str) -> None:
    tags = read_tags(labels)
    ids = np.array([labels.index(label) for label in sequence.split()])
    starts = group_starts(ids, tags)
    sizes = np.diff(starts, append=len(ids))
    names = [tags.types[tags.type_of[ids[start]]] for start in starts]
    found = [
        name if name == "O" else f"{name}:{size}" for name, size in zip(names, sizes, strict=True)
    ]
    assert " ".join(found) == expected


def test_too_long_counts_special_tokens(pipelines: dict[str, Pipeline]) -> None:
    [answer] = pipelines["bert"]([tag("a " * 127, long="error")])
    assert isinstance(answer, InputTooLong)
    assert (answer.tokens, answer.limit) == (129, 128)


def test_truncation_is_said_and_keeps_the_beginning(pipelines: dict[str, Pipeline]) -> None:
    pipeline = pipelines["bert"]
    text = "Angela Merkel visited Paris. " * 40
    item = tag(text, long="truncate", aggregation_strategy="none", ignore_labels=[])
    [prepared] = pipeline.handler.preprocess([item])
    assert isinstance(prepared, Prepared)
    assert prepared.truncated
    [answer] = pipeline([item])
    assert [one["index"] for one in answer] == list(range(1, 127))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("stride", [None, 0, 1, 29])
def test_windows_answer_as_if_the_text_had_been_read_at_once(
    pipelines: dict[str, Pipeline], architecture: str, strategy: str, stride: int | None
) -> None:
    """The backend looks logits up, so any difference comes from cutting and merging."""
    narrow = pipelines[architecture]
    handler = narrow.handler
    tokenizer = type(handler.tokenizer)(handler.tokenizer.raw, 4000, handler.tokenizer.pad_id)
    wide = Pipeline(type(handler)(handler.manifest, tokenizer), narrow.backend)
    text = " ".join(TEXTS)
    item = tag(text, aggregation_strategy=strategy, stride=stride)
    [prepared] = handler.preprocess([item])
    assert isinstance(prepared, Prepared)
    assert len(prepared.rows) > 4
    assert max(map(len, prepared.rows)) <= 128
    assert narrow([item]) == wide([item])


@pytest.mark.parametrize("stride", [126, 127, 5000])
def test_a_stride_that_leaves_no_step_is_refused(
    pipelines: dict[str, Pipeline], stride: int
) -> None:
    [answer] = pipelines["bert"]([tag("a " * 500, stride=stride)])
    assert isinstance(answer, InvalidRequest)
    assert "parameters.stride" in str(answer)


WORDS = st.lists(st.integers(1, 9), min_size=1, max_size=120).map(
    lambda sizes: [word for word, size in enumerate(sizes) for _ in range(size)]
)


@given(word_ids=WORDS, room=st.integers(1, 80), stride=st.integers(0, 79))
def test_windows_share_out_every_token_once(word_ids: list[int], room: int, stride: int) -> None:
    stride = min(stride, room - 1)
    found = word_windows(word_ids, room, stride)
    cuts = cuts_between(found, word_ids)
    assert cuts == sorted(cuts)
    assert (cuts[0], cuts[-1]) == (0, len(word_ids))
    for window, start, end in zip(found, cuts[:-1], cuts[1:], strict=True):
        assert 0 < window.end - window.start <= room
        assert window.start <= start <= end <= window.end
    for left, right in pairwise(found):
        assert left.start < right.start
        assert left.end - right.start >= stride


@given(word_ids=WORDS, stride=st.integers(0, 40))
def test_windows_split_no_word_that_is_shorter_than_the_slack(
    word_ids: list[int], stride: int
) -> None:
    found = word_windows(word_ids, 80, stride)
    edges = {window.start for window in found} | {window.end for window in found}
    for edge in edges - {0, len(word_ids)}:
        assert word_ids[edge] != word_ids[edge - 1]


@given(tokens=st.integers(1, 1000), room=st.integers(8, 100), stride=st.integers(0, 80))
def test_each_token_comes_from_the_window_with_most_context(
    tokens: int, room: int, stride: int
) -> None:
    stride = min(stride, room - 1)
    word_ids: list[int | None] = [None] * tokens
    found = word_windows(word_ids, room, stride)
    cuts = cuts_between(found, word_ids)

    def context(window: Any, token: int) -> int:
        before = token - window.start if window.start else tokens
        after = window.end - 1 - token if window.end < tokens else tokens
        return min(before, after)

    for index, (window, start, end) in enumerate(zip(found, cuts[:-1], cuts[1:], strict=True)):
        for token in range(start, end):
            mine = context(window, token)
            for other in found[max(index - 2, 0) : index + 3]:
                if other.start <= token < other.end:
                    assert mine >= context(other, token) - 1


def test_a_text_without_tokens_has_no_entities(pipelines: dict[str, Pipeline]) -> None:
    assert pipelines["bert"]([tag("\u200b", ignore_labels=[])]) == [[]]


def test_a_manifest_names_the_strategy_of_requests_that_name_none(tmp_path: Path) -> None:
    pipeline = lookup_pipeline(tmp_path, "bert", Task.TOKEN_CLASSIFICATION, BIO)
    tokenizer, manifest = pipeline.handler.tokenizer, pipeline.handler.manifest

    def with_default(strategy: str) -> Pipeline:
        defaults = {"generation_defaults": {"aggregation_strategy": strategy}}
        handler: NerHandler = NerHandler(manifest.model_copy(update=defaults), tokenizer)
        return Pipeline(handler, pipeline.backend)

    text = "Honolulu and Chicago are far from Hamburg and Hawaii"
    simple, first = pipeline([tag(text)]), pipeline([tag(text, aggregation_strategy="first")])
    assert simple != first
    assert with_default("first")([tag(text)]) == first
    assert with_default("first")([tag(text, aggregation_strategy="simple")]) == simple
    with pytest.raises(CheckpointError, match="must be one of none, simple, first"):
        with_default("last")
