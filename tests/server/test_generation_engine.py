"""The generation engine's promises: streams, leaving, deadlines, failures that stay alone."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import (
    BackendFailure,
    DeadlineExceeded,
    InputTooLong,
    InvalidRequest,
    Overloaded,
    RequestTooLarge,
    Unavailable,
)
from contracts.generation import GenerationBody
from contracts.tasks import Task
from handlers.generation import GenerationHandler
from handlers.generation_pipeline import GenerationPipeline
from handlers.tokenization import TextTokenizer
from model_store.backends.seq2seq.fake import FakeSeq2Seq
from model_store.manifest import Manifest
from server.generation_engine import GenerationEngine
from server.hub import Hub
from server.messages import Cancel, Chunk, Decoding, Done, Ping, Pong
from tests.models import MAX_TOKENS, tiny_checkpoint
from tests.server.peer import Peer

MODEL = "summary@1"
KV_TOKENS = 2000


class Asker(Peer):
    def ask(self, *texts: str, stream: bool = False, timeout_s: float = 60, **given: Any) -> int:
        body = GenerationBody(inputs=list(texts), parameters=given)  # type: ignore[arg-type]
        return self.work(body.items(), stream=stream, timeout_s=timeout_s)


class Bench:
    """An engine around a fake backend, and a peer."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        tokenizer = TextTokenizer.load(checkpoint, MAX_TOKENS)
        special = tokenizer.raw.token_to_id
        manifest = Manifest(
            task=Task.SUMMARIZATION,
            architecture="EncoderDecoderModel",
            labels=[],
            max_tokens=MAX_TOKENS,
            generation_defaults={
                "decoder_start_token_id": special("[CLS]"),
                "eos_token_id": special("[SEP]"),
                "max_new_tokens": 20,
            },
        )
        self.backend = FakeSeq2Seq(tokenizer.raw.get_vocab_size())
        handler = GenerationHandler(manifest, tokenizer)
        self.pipeline = GenerationPipeline(handler, self.backend)
        self.hub = Hub(folder / "e.sock")
        self.engine = GenerationEngine(
            self.hub, {MODEL: self.pipeline}, KV_TOKENS * self.backend.kv_bytes_per_token
        )
        self.peer = Asker(folder / "e.sock", MODEL)
        self.hub.receive(0)  # accept

    @property
    def scheduler(self) -> Any:
        return self.engine._schedulers[MODEL]

    def drain(self) -> list[Any]:
        """Step until nothing waits or runs; everything that was said."""
        self.engine.step()
        while self.engine._waiting or any(self.engine._schedulers.values()):
            self.engine.step()
        return self.peer.heard()

    def answers(self) -> dict[int, Done]:
        return {one.id: one for one in self.drain() if isinstance(one, Done)}

    def direct(self, text: str, **given: Any) -> str:
        body = GenerationBody(inputs=text, parameters=given)  # type: ignore[arg-type]
        (answer,) = self.pipeline(body.items())
        assert isinstance(answer, dict)
        return answer["generated_text"]

    def unused(self, *asked: str, **given: Any) -> int:
        """A token that stands in none of these answers."""
        body = GenerationBody(inputs=list(asked), parameters={"details": True, **given})  # type: ignore[arg-type]
        found = {
            token["id"]
            for answer in self.pipeline(body.items())
            for token in answer["details"]["tokens"]  # type: ignore[index]
        }
        return max(set(range(5, self.backend.vocabulary)) - found)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(
        tmp_path_factory.mktemp("bert"), "bert", Task.TEXT_CLASSIFICATION, labels=["no", "yes"]
    )


@pytest.fixture
def bench(tmp_path: Path, checkpoint: Path) -> Iterator[Bench]:
    one = Bench(tmp_path, checkpoint)
    yield one
    one.peer.sock.close()
    one.hub.close()


def texts(count: int) -> list[str]:
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "again"]
    return [" ".join(words[: 1 + index % len(words)]) for index in range(count)]


def test_every_request_gets_its_own_answer_whoever_runs_beside_it(bench: Bench) -> None:
    asked = {}
    for index, text in enumerate(texts(12)):
        given: dict[str, Any] = [{}, {"num_beams": 3}, {"do_sample": True, "seed": index}][
            index % 3
        ]
        asked[bench.peer.ask(text, **given)] = bench.direct(text, **given)
    answers = bench.answers()
    assert {id: done.answers[0]["generated_text"] for id, done in answers.items()} == asked


def test_a_batch_answers_its_items_in_order(bench: Bench) -> None:
    number = bench.peer.ask(*texts(5))
    (done,) = bench.answers().values()
    assert done.id == number
    assert [one["summary_text"] for one in done.answers] == [bench.direct(t) for t in texts(5)]
    assert done.tokens_in > done.answers.__len__()
    assert done.tokens_out > 0


@pytest.mark.parametrize("given", [{}, {"num_beams": 3}, {"do_sample": True, "seed": 4}])
def test_the_chunks_of_a_stream_are_the_answer(bench: Bench, given: dict[str, Any]) -> None:
    bench.peer.ask("the quick brown fox", stream=True, details=True, **given)
    heard = bench.drain()
    chunks = [one for one in heard if isinstance(one, Chunk)]
    (done,) = [one for one in heard if isinstance(one, Done)]
    assert "".join(chunk.text for chunk in chunks) == done.answers[0]["generated_text"]
    assert [chunk.index for chunk in chunks] == list(range(1, len(chunks) + 1))
    tokens = done.answers[0]["details"]["tokens"]
    assert [chunk.token for chunk in chunks] == [token["id"] for token in tokens]
    assert heard.index(chunks[-1]) < heard.index(done)


def test_the_first_token_is_told_before_the_second_is_decoded(bench: Bench) -> None:
    bench.peer.ask("the quick brown fox", stream=True, min_new_tokens=5)
    bench.engine.step()
    heard = bench.peer.heard()
    assert [one.index for one in heard if isinstance(one, Chunk)] == [1]


def test_a_caller_that_left_frees_its_rows_within_one_step(bench: Bench) -> None:
    stays = bench.peer.ask("the quick", min_new_tokens=20)
    goes = bench.peer.ask("brown fox", min_new_tokens=20, num_beams=4)
    bench.engine.step()
    assert bench.scheduler.running_rows == 5
    bench.peer.send(Cancel(goes))
    bench.engine.step()
    assert bench.scheduler.running_rows == 1
    assert list(bench.answers()) == [stays]


def test_a_peer_that_died_frees_its_rows_within_one_step(bench: Bench) -> None:
    bench.peer.ask("the quick", min_new_tokens=20)
    bench.engine.step()
    bench.peer.sock.close()
    bench.engine.step()
    assert bench.scheduler.running_rows == 0


def test_a_deadline_ends_an_answer_between_two_tokens(bench: Bench) -> None:
    bench.peer.ask("the quick", min_new_tokens=20, timeout_s=0.05)
    bench.engine.step()
    assert bench.scheduler.running_rows == 1
    time.sleep(0.06)
    (done,) = bench.answers().values()
    assert isinstance(done.answers[0], DeadlineExceeded)
    assert bench.scheduler.running_rows == 0


def test_a_row_that_breaks_its_step_fails_alone(bench: Bench) -> None:
    good = {bench.peer.ask(text): bench.direct(text) for text in texts(4)}
    poison = bench.unused(*texts(4))
    bad = bench.peer.ask("a lazy dog", forced_bos_token_id=poison)
    bench.backend.poison_id = poison
    answers = bench.answers()
    assert isinstance(answers.pop(bad).answers[0], BackendFailure)
    assert {id: done.answers[0]["generated_text"] for id, done in answers.items()} == good


def test_a_stream_goes_on_behind_what_it_told_when_a_step_failed(bench: Bench) -> None:
    expected = bench.direct("the quick brown fox", min_new_tokens=12)
    bench.peer.ask("the quick brown fox", stream=True, min_new_tokens=12)
    bench.engine.step()
    bench.engine.step()
    poison = bench.unused("the quick brown fox", min_new_tokens=12)
    bench.peer.ask("a lazy dog", forced_bos_token_id=poison)
    bench.backend.poison_id = poison
    chunks = [one for one in bench.drain() if isinstance(one, Chunk)]
    assert [one.index for one in chunks] == list(range(1, len(chunks) + 1))
    assert "".join(one.text for one in chunks) == expected


def test_an_item_that_is_refused_costs_its_neighbours_nothing(bench: Bench) -> None:
    bench.peer.ask("the quick", "the " * (MAX_TOKENS + 5), "brown fox")
    (done,) = bench.answers().values()
    first, second, third = done.answers
    assert isinstance(second, InputTooLong)
    assert first["generated_text"] == bench.direct("the quick")
    assert third["generated_text"] == bench.direct("brown fox")


def test_a_contradiction_is_told_by_its_names(bench: Bench) -> None:
    bench.peer.ask("the quick", min_new_tokens=9, max_new_tokens=3)
    (done,) = bench.answers().values()
    assert isinstance(done.answers[0], InvalidRequest)
    assert "min_new_tokens" in str(done.answers[0])


def test_what_never_fits_into_the_cache_is_refused_at_once(bench: Bench) -> None:
    bench.peer.ask("the quick", max_new_tokens=KV_TOKENS)
    bench.engine.step()
    (done,) = [one for one in bench.peer.heard() if isinstance(one, Done)]
    assert isinstance(done.answers[0], RequestTooLarge)
    assert "--kv-cache-mb" in str(done.answers[0])


def test_beyond_the_cache_work_waits_and_beyond_that_it_is_refused(bench: Bench) -> None:
    numbers = [bench.peer.ask("the quick", max_new_tokens=990, min_new_tokens=0) for _ in range(40)]
    bench.engine.step()
    heard = [one for one in bench.peer.heard() if isinstance(one, Done)]
    assert bench.scheduler.running_tokens <= KV_TOKENS
    assert heard
    for done in heard:
        assert isinstance(done.answers[0], Overloaded)
        assert int(done.answers[0].headers["Retry-After"]) >= 1
    rest = bench.answers()
    assert {done.id for done in heard} | set(rest) == set(numbers)
    assert all(isinstance(done.answers[0], dict) for done in rest.values())


def test_a_long_document_is_summed_up_in_passes(bench: Bench) -> None:
    document = "the quick brown fox jumps over a lazy dog again. " * (MAX_TOKENS // 3)
    bench.peer.ask(document, long="window", max_new_tokens=6)
    (done,) = bench.answers().values()
    assert done.answers[0]["summary_text"] == bench.direct(
        document, long="window", max_new_tokens=6
    )
    assert len(done.answers[0]["summary_text"].split()) <= 12
    (prepared,) = bench.pipeline.handler.preprocess(
        GenerationBody(inputs=document, parameters={"long": "window"}).items()  # type: ignore[arg-type]
    )
    assert done.windows == len(prepared.rows) > 1  # type: ignore[union-attr]


def test_pings_are_answered_while_it_decodes(bench: Bench) -> None:
    bench.peer.ask("the quick", min_new_tokens=20)
    bench.engine.step()
    bench.peer.heard()
    bench.peer.send(Ping())
    bench.engine.step()
    assert any(isinstance(one, Pong) for one in bench.peer.heard())


def test_the_gauges_end_at_nothing(bench: Bench) -> None:
    bench.peer.ask("the quick", min_new_tokens=5)
    states = [one for one in bench.drain() if isinstance(one, Decoding)]
    assert states[0].running_rows == 1
    assert states[0].held_tokens > 0
    assert (states[-1].running_rows, states[-1].waiting_rows) == (0, 0)


def test_the_gauges_end_at_nothing_when_the_last_caller_left(bench: Bench) -> None:
    number = bench.peer.ask("the quick", min_new_tokens=20)
    bench.engine.step()
    bench.peer.send(Cancel(number))
    bench.engine.step()
    last = [one for one in bench.peer.heard() if isinstance(one, Decoding)][-1]
    assert (last.running_rows, last.waiting_rows, last.held_tokens) == (0, 0, 0)


def test_a_model_that_leaves_is_forgotten_when_its_answers_are_given(bench: Bench) -> None:
    number = bench.peer.ask("quick brown fox", max_new_tokens=5)
    bench.engine.step()
    assert bench.engine.works_on(MODEL)
    assert bench.answers()[number].answers[0]["generated_text"]
    assert not bench.engine.works_on(MODEL)
    assert bench.engine.forget(MODEL) is bench.pipeline
    late = bench.peer.ask("quick brown fox")
    assert isinstance(bench.answers()[late].answers[0], Unavailable)
