"""What a generating handler does with texts: long ones, parameters, answers."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import InputTooLong, InvalidRequest, ServingError
from contracts.generation import Generated, GenerationBody, GenerationItem
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.decoding.search import Ended
from handlers.decoding.settings import DEFAULT_NEW_TOKENS, resolve
from handlers.generation import GenerationHandler
from handlers.generation_pipeline import GenerationPipeline
from handlers.passages import passages
from handlers.tokenization import TextTokenizer
from model_store.backends.seq2seq.fake import FakeSeq2Seq
from model_store.manifest import Manifest
from tests.models import MAX_TOKENS, tiny_checkpoint

SENTENCE = "the quick brown fox jumps over a lazy dog again."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    folder: Path = tiny_checkpoint(
        tmp_path_factory.mktemp("bert"), "bert", Task.TEXT_CLASSIFICATION, labels=["no", "yes"]
    )
    return TextTokenizer.load(folder, MAX_TOKENS)


def handler(
    tokenizer: TextTokenizer, task: Task = Task.SUMMARIZATION, **defaults: Any
) -> GenerationHandler:
    special = tokenizer.raw.token_to_id
    manifest = Manifest(
        task=task,
        architecture="EncoderDecoderModel",
        labels=[],
        max_tokens=MAX_TOKENS,
        generation_defaults={
            "decoder_start_token_id": special("[CLS]"),
            "eos_token_id": special("[SEP]"),
        }
        | defaults,
    )
    return GenerationHandler(manifest, tokenizer)


def items(text: str, **given: Any) -> list[GenerationItem]:
    return GenerationBody(inputs=text, parameters=given).items()  # type: ignore[arg-type]


def prepared(one: GenerationHandler, text: str, **given: Any) -> Prepared:
    (found,) = one.preprocess(items(text, **given))
    assert isinstance(found, Prepared), found
    return found


def test_a_text_longer_than_the_model_is_refused_by_default(tokenizer: TextTokenizer) -> None:
    (refused,) = handler(tokenizer).preprocess(items(SENTENCE * MAX_TOKENS))
    assert isinstance(refused, InputTooLong)
    assert str(MAX_TOKENS) in str(refused)


@pytest.mark.parametrize("asked", [{"long": "truncate"}, {"truncation": "longest_first"}])
def test_what_is_cut_is_told(tokenizer: TextTokenizer, asked: dict[str, Any]) -> None:
    found = prepared(handler(tokenizer), f"{SENTENCE} " * MAX_TOKENS, **asked)
    assert found.truncated
    assert [len(row) for row in found.rows] == [MAX_TOKENS]
    assert not prepared(handler(tokenizer), SENTENCE, **asked).truncated


def test_truncate_reads_so_many_tokens(tokenizer: TextTokenizer) -> None:
    found = prepared(handler(tokenizer), SENTENCE, truncate=3)
    assert found.truncated
    assert len(found.rows[0]) == 3 + len(tokenizer.row([]))


def test_windows_hold_every_token_once_and_end_with_sentences(tokenizer: TextTokenizer) -> None:
    text = f"{SENTENCE} " * MAX_TOKENS
    rows = prepared(handler(tokenizer), text, long="window").rows
    assert len(rows) > 2
    assert all(len(row) <= MAX_TOKENS for row in rows)
    prefix, suffix = tokenizer.single_prefix, tokenizer.single_suffix
    inner = [row.input_ids[len(prefix) : len(row) - len(suffix)] for row in rows]
    assert [id for part in inner for id in part] == tokenizer.encode([text])[0].ids
    end = tokenizer.encode(["."])[0].ids[-1]
    assert all(part[-1] == end for part in inner)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab. \n!", min_size=1, max_size=300), st.integers(1, 20))
def test_passages_hold_all_tokens_in_order(text: str, room: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    raw = Tokenizer(models.WordLevel({"[U]": 0}, unk_token="[U]"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    encoding = raw.encode(text, add_special_tokens=False)
    parts = passages(text, encoding, room)
    assert [at for start, end in parts for at in range(start, end)] == list(
        range(len(encoding.ids))
    )
    assert all(end - start <= room for start, end in parts)


def test_summaries_of_passages_are_summed_up_again_until_one_is_left(
    tokenizer: TextTokenizer,
) -> None:
    one = handler(tokenizer)
    (item,) = items(f"{SENTENCE} " * MAX_TOKENS, long="window")
    (before,) = one.preprocess([item])
    assert isinstance(before, Prepared)
    ids = tokenizer.encode(["quick fox"])[0].ids
    outputs = [Ended(ids, [], "eos_token")] * len(before.rows)
    following = one.postprocess(item, before, outputs)
    assert isinstance(following, Prepared)
    assert len(following.rows) < len(before.rows)
    while isinstance(following, Prepared):
        rows = following.rows
        following = one.postprocess(item, following, [Ended(ids, [], "eos_token")] * len(rows))
    assert len(rows) == 1
    assert following["summary_text"] == "quick fox"


def test_summaries_that_do_not_get_shorter_end_as_they_are(tokenizer: TextTokenizer) -> None:
    one = handler(tokenizer)
    (item,) = items(f"{SENTENCE} " * MAX_TOKENS, long="window")
    (before,) = one.preprocess([item])
    assert isinstance(before, Prepared)
    ids = tokenizer.encode([f"{SENTENCE} " * 20])[0].ids
    outputs = [Ended(ids, [], "length")] * len(before.rows)
    answer = one.postprocess(item, before, outputs)
    assert not isinstance(answer, Prepared)
    assert answer["summary_text"].count("lazy") == 20 * len(before.rows)


def test_translations_of_passages_are_joined_in_order(tokenizer: TextTokenizer) -> None:
    one = handler(tokenizer, Task.TRANSLATION)
    (item,) = items(f"{SENTENCE} " * MAX_TOKENS, long="window")
    (before,) = one.preprocess([item])
    assert isinstance(before, Prepared)
    words = ["quick", "brown", "fox"]
    outputs = [
        Ended(tokenizer.encode([words[place % 3]])[0].ids, [], "eos_token")
        for place in range(len(before.rows))
    ]
    answer = one.postprocess(item, before, outputs)
    assert not isinstance(answer, Prepared)
    expected = " ".join(words[place % 3] for place in range(len(before.rows)))
    assert answer["translation_text"] == expected


def test_a_prefix_of_the_checkpoint_stands_before_every_passage(tokenizer: TextTokenizer) -> None:
    plain, prefixed = handler(tokenizer), handler(tokenizer, prefix="again ")
    again = tokenizer.encode(["again"])[0].ids
    start = len(tokenizer.single_prefix)
    for row in prepared(prefixed, f"{SENTENCE} " * MAX_TOKENS, long="window").rows:
        assert row.input_ids[start : start + len(again)] == again
        assert len(row) <= MAX_TOKENS
    short = prepared(plain, SENTENCE).rows[0].input_ids
    assert prepared(prefixed, SENTENCE).rows[0].input_ids == short[:start] + again + short[start:]


def test_an_answer_stands_under_every_key(tokenizer: TextTokenizer) -> None:
    pipeline = GenerationPipeline(handler(tokenizer), FakeSeq2Seq(tokenizer.raw.get_vocab_size()))
    (answer,) = pipeline(items(SENTENCE, max_new_tokens=5))
    assert not isinstance(answer, ServingError)
    found: Generated = answer
    assert found["summary_text"] == found["translation_text"] == found["generated_text"]
    (full,) = pipeline(items(SENTENCE, max_new_tokens=5, return_full_text=True))
    assert not isinstance(full, ServingError)
    assert full["generated_text"] == SENTENCE + found["summary_text"]


def test_details_tell_every_token_and_why_it_ended(tokenizer: TextTokenizer) -> None:
    pipeline = GenerationPipeline(handler(tokenizer), FakeSeq2Seq(tokenizer.raw.get_vocab_size()))
    (answer,) = pipeline(items(SENTENCE, max_new_tokens=5, min_new_tokens=5, details=True))
    assert not isinstance(answer, ServingError)
    details = answer["details"]
    assert details["finish_reason"] == "length"
    assert details["generated_tokens"] == len(details["tokens"]) == 5
    assert all(token["logprob"] < 0 for token in details["tokens"])


def test_the_reason_is_the_stop_string_that_was_met(tokenizer: TextTokenizer) -> None:
    pipeline = GenerationPipeline(handler(tokenizer), FakeSeq2Seq(tokenizer.raw.get_vocab_size()))
    (free,) = pipeline(items(SENTENCE, max_new_tokens=12, min_new_tokens=12))
    assert not isinstance(free, ServingError)
    word = free["generated_text"].split()[3]
    (stopped,) = pipeline(
        items(SENTENCE, max_new_tokens=12, min_new_tokens=12, stop=[word], details=True)
    )
    assert not isinstance(stopped, ServingError)
    assert stopped["details"]["finish_reason"] == "stop_sequence"
    assert stopped["generated_text"].endswith(word)
    assert free["generated_text"].startswith(stopped["generated_text"])


class TestParameters:
    """The request's parameters over the checkpoint's."""

    BASE: dict[str, Any] = {"decoder_start_token_id": 2, "eos_token_id": 3}  # noqa: RUF012

    def test_what_a_request_gives_wins(self) -> None:
        found = resolve({"num_beams": 2}, self.BASE | {"num_beams": 4, "length_penalty": 2.0})
        assert (found.num_beams, found.length_penalty) == (2, 2.0)

    def test_lengths_of_the_request_win_over_any_of_the_checkpoint(self) -> None:
        assert resolve({"max_length": 9}, self.BASE | {"max_new_tokens": 99}).max_new_tokens == 8
        assert resolve({}, self.BASE | {"max_length": 30}).max_new_tokens == 29
        assert resolve({}, self.BASE).max_new_tokens == DEFAULT_NEW_TOKENS

    def test_no_answer_is_longer_than_the_decoder(self) -> None:
        assert resolve({}, self.BASE | {"max_target_tokens": 50}).max_length == 50
        with pytest.raises(InvalidRequest, match="max_new_tokens is 49 at most"):
            resolve({"max_new_tokens": 50}, self.BASE | {"max_target_tokens": 50})

    @pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "typical_p"])
    def test_a_sampling_parameter_asks_for_sampling(self, name: str) -> None:
        value = 5 if name == "top_k" else 0.5
        assert resolve({name: value}, self.BASE).do_sample
        assert not resolve({name: value, "do_sample": False}, self.BASE).do_sample
        assert not resolve({}, self.BASE | {name: value}).do_sample

    def test_a_temperature_of_nothing_is_no_sampling(self) -> None:
        assert not resolve({"temperature": 0.0, "do_sample": True}, self.BASE).do_sample

    def test_sampling_without_a_seed_draws_one_that_is_told(self) -> None:
        seeds = {resolve({"do_sample": True}, self.BASE).seed for _ in range(4)}
        assert len(seeds) == 4
        assert resolve({}, self.BASE).seed is None
