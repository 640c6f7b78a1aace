"""The engine's promises: one answer per request, failures stay alone, nothing waits for company."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import BackendFailure, DeadlineExceeded, InputTooLong
from contracts.schemas import ClassificationBody
from contracts.tasks import Task
from contracts.tensors import Tensors
from handlers.classification import ClassificationHandler
from handlers.pipeline import Pipeline
from handlers.tokenization import TextTokenizer
from model_store.manifest import Manifest
from server.engine import Engine
from server.hub import Hub
from server.messages import BatchRan, Cancel, Done, ModelStatus, Ping, Pong, Status
from tests.models import MAX_TOKENS, tiny_checkpoint
from tests.server.peer import Peer

MODEL = "intent@1"
LABELS = ["no", "yes"]


class Recording:
    """A backend whose answer is the row's own ids; it keeps what it ran, and fails where told."""

    name, precision, device, bytes, batchable = "recording", "fp32", "cpu", 0, True
    input_names = frozenset({"input_ids", "attention_mask"})

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.threads: list[int] = []
        self.poison: int | None = None
        self.nan: int | None = None

    def run(self, inputs: Tensors) -> Tensors:
        ids = inputs["input_ids"] * inputs["attention_mask"]
        self.shapes.append(ids.shape)
        self.threads.append(threading.get_ident())
        if self.poison is not None and (ids == self.poison).any():
            raise RuntimeError("poison")
        first = (ids.sum(axis=1) % 97).astype(np.float32)
        logits = np.stack([np.zeros_like(first), first / 10], axis=1)
        if self.nan is not None:
            logits[(ids == self.nan).any(axis=1)] = np.nan
        return {"logits": logits}

    def close(self) -> None:
        pass


class Asker(Peer):
    """A peer that asks for classifications."""

    def ask(
        self,
        *texts: str,
        timeout_s: float = 60,
        now: float | None = None,
        turn: float = 0.0,
        **parameters: Any,
    ) -> int:
        body = ClassificationBody(inputs=list(texts), parameters=parameters)  # type: ignore[arg-type]
        return self.work(body.items(), timeout_s=timeout_s, now=now, turn=turn)


class Bench:
    """An engine, a peer and a recording backend."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.backend = Recording()
        manifest = Manifest(
            task=Task.TEXT_CLASSIFICATION,
            architecture="BertForSequenceClassification",
            labels=LABELS,
            max_tokens=MAX_TOKENS,
        )
        tokenizer = TextTokenizer.load(checkpoint, MAX_TOKENS)
        self.pipeline = Pipeline(ClassificationHandler(manifest, tokenizer), self.backend)
        self.hub = Hub(folder / "e.sock")
        self.engine = self.hire(1)
        self.peer = Asker(folder / "e.sock", MODEL)

    def hire(self, streams: int, **options: Any) -> Engine:
        """An engine that runs so many batches at once."""
        pipelines = {MODEL: self.pipeline}
        return Engine(self.hub, pipelines, batch_tokens=512, streams=streams, **options)

    def token(self, word: str) -> int:
        return int(self.pipeline.handler.tokenizer.encode([word])[0].ids[0])

    def drain(self) -> dict[int, Done]:
        """Step until nothing waits; the answers by id."""
        done: dict[int, Done] = {}
        self.engine.step(wait_s=0)  # accept
        self.engine.step(wait_s=0)
        while self.engine.busy:
            self.engine.step()
        for message in self.peer.heard():
            if isinstance(message, Done):
                assert message.id not in done
                done[message.id] = message
        return done


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(
        tmp_path_factory.mktemp("bert"), "bert", Task.TEXT_CLASSIFICATION, labels=LABELS
    )


@pytest.fixture
def bench(tmp_path: Path, checkpoint: Path) -> Iterator[Bench]:
    one = Bench(tmp_path, checkpoint)
    yield one
    one.peer.sock.close()
    one.hub.close()


TEXTS = ["the parcel", "quick brown fox " * 9, "refund", "my order number " * 20, "thank you"]


def test_every_request_gets_one_answer_the_same_as_alone(bench: Bench):
    alone = bench.pipeline(ClassificationBody(inputs=TEXTS).items())
    numbers = [bench.peer.ask(text) for text in TEXTS * 20]
    done = bench.drain()
    assert sorted(done) == numbers
    assert [done[number].answers[0] for number in numbers] == alone * 20


def test_requests_that_are_there_together_share_batches(bench: Bench):
    for _ in range(24):
        bench.peer.ask("the parcel")
    bench.drain()
    assert bench.backend.shapes == [(24, 8)]


def test_a_request_with_many_inputs_is_answered_in_order(bench: Bench):
    number = bench.peer.ask(*TEXTS)
    answers = bench.drain()[number].answers
    assert answers == bench.pipeline(ClassificationBody(inputs=TEXTS).items())


def test_a_burst_lets_a_later_short_request_pass(bench: Bench):
    now = time.monotonic()
    burst = bench.peer.ask(*["quick brown fox " * 9] * 120, now=now)
    short = bench.peer.ask("quick brown fox " * 9, now=now + 0.1)
    late = bench.peer.ask("quick brown fox " * 9, now=now + 3)
    bench.hub.receive(0)
    order: list[int] = []
    while len(order) < 3:
        bench.engine.step()
        order += [one.id for one in bench.peer.heard() if isinstance(one, Done)]
    assert order == [short, burst, late]


def test_work_whose_turn_is_later_lets_others_pass_but_does_not_wait_for_ever(bench: Bench):
    now = time.monotonic()
    text = "quick brown fox " * 9
    bulk = [bench.peer.ask(*[text] * 10, now=now, timeout_s=600, turn=now + 70) for _ in range(4)]
    soon = [bench.peer.ask(text, now=now + passed) for passed in (1, 5, 9)]
    late = bench.peer.ask(text, now=now + 20)
    bench.hub.receive(0)
    order: list[int] = []
    while len(order) < 8:
        bench.engine.step()
        order += [one.id for one in bench.peer.heard() if isinstance(one, Done)]
    assert order == [*soon, *bulk, late]


def test_a_poison_row_fails_alone(bench: Bench):
    bench.backend.poison = bench.token("fox")
    good = [bench.peer.ask("the parcel") for _ in range(7)]
    bad = bench.peer.ask("the fox")
    more = [bench.peer.ask("refund") for _ in range(8)]
    done = bench.drain()
    assert isinstance(done[bad].answers[0], BackendFailure)
    for number in good + more:
        assert isinstance(done[number].answers[0], list), done[number]


def test_a_row_that_gives_no_number_fails_alone(bench: Bench):
    bench.backend.nan = bench.token("fox")
    good, bad = bench.peer.ask("the parcel"), bench.peer.ask("the fox")
    done = bench.drain()
    assert isinstance(done[bad].answers[0], BackendFailure)
    assert isinstance(done[good].answers[0], list)


def test_a_text_that_is_too_long_is_refused_among_good_ones(bench: Bench):
    number = bench.peer.ask("the parcel", "the parcel " * 200)
    answers = bench.drain()[number].answers
    assert isinstance(answers[0], list)
    assert isinstance(answers[1], InputTooLong)


def test_an_item_that_breaks_the_tokeniser_fails_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    real = bench.pipeline.handler.preprocess

    def preprocess(items: Any) -> Any:
        if any("cursed" in item.text for item in items):
            raise RuntimeError("cursed")
        return real(items)

    monkeypatch.setattr(bench.pipeline.handler, "preprocess", preprocess)
    good, bad = bench.peer.ask("the parcel"), bench.peer.ask("cursed")
    done = bench.drain()
    assert isinstance(done[good].answers[0], list)
    assert isinstance(done[bad].answers[0], BackendFailure)


def test_work_past_its_deadline_is_answered_and_not_run(bench: Bench):
    number = bench.peer.ask("the parcel", timeout_s=-1)
    done = bench.drain()
    assert isinstance(done[number].answers[0], DeadlineExceeded)
    assert bench.backend.shapes == []


def test_cancelled_work_is_not_run(bench: Bench):
    number = bench.peer.ask("the parcel")
    bench.peer.send(Cancel(number))
    assert bench.drain() == {}
    assert bench.backend.shapes == []


def test_work_of_a_peer_that_is_gone_is_not_run(bench: Bench, tmp_path: Path):
    gate = bench.pipeline.backend = Gate()
    running = bench.peer.ask("the parcel")
    bench.hub.receive(0)
    bench.engine.step()
    assert gate.inside.acquire(timeout=5)
    other = Asker(tmp_path / "e.sock", MODEL)
    other.ask("quick brown fox " * 9)
    other.sock.close()
    number = bench.peer.ask("refund")
    for _ in range(4):
        bench.engine.step(wait_s=0)
    gate.open.set()
    assert list(bench.drain()) == [running, number]
    assert gate.shapes == [(1, 8), (1, 8)]


def test_a_long_text_is_answered_though_short_ones_keep_coming(bench: Bench):
    long = bench.peer.ask("quick brown fox " * 30)
    answered: set[int] = set()
    bench.hub.receive(0)
    for _ in range(12):
        for _ in range(40):
            bench.peer.ask("refund")
        bench.engine.step()
        answered |= {each.id for each in bench.peer.heard() if isinstance(each, Done)}
        if long in answered:
            return
    pytest.fail("the long text starved")


def test_a_peer_that_connects_hears_the_status_and_pings_are_answered(bench: Bench):
    status = Status(os.getpid(), (ModelStatus("intent", 1, (), "x", "ready"),))
    bench.engine.announce(status)
    bench.engine.step(wait_s=0)
    assert status in bench.peer.heard()
    bench.peer.send(Ping())
    bench.engine.step()
    assert bench.peer.heard() == [Pong()]


def test_batches_tell_real_and_padded_tokens(bench: Bench):
    bench.peer.ask("the parcel")
    bench.hub.receive(0)
    bench.engine.step()
    while bench.engine.busy:
        bench.engine.step()
    ran = next(each for each in bench.peer.heard() if isinstance(each, BatchRan))
    row = bench.pipeline.handler.tokenizer.encode(["the parcel"])[0]
    assert (ran.rows, ran.real_tokens, ran.padded_tokens) == (1, len(row) + 2, 8)


def test_a_slow_reader_loses_nothing(bench: Bench):
    """Replies beyond the socket's buffer wait in the engine and arrive whole."""
    numbers = [bench.peer.ask(*["ok"] * 200) for _ in range(25)]
    heard: list[Any] = []
    bench.hub.receive(0)
    for _ in range(2000):
        if bench.engine.busy:
            bench.engine.step()
        else:
            bench.engine.step(wait_s=0)
            heard += bench.peer.heard()
        if len([each for each in heard if isinstance(each, Done)]) == len(numbers):
            break
    assert [each.id for each in heard if isinstance(each, Done)] == numbers


class Gate(Recording):
    """A backend whose batches wait until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = threading.Semaphore(0)
        self.open = threading.Event()

    def run(self, inputs: Tensors) -> Tensors:
        self.inside.release()
        assert self.open.wait(10)
        return super().run(inputs)


def test_batches_run_side_by_side_and_others_gather_meanwhile(bench: Bench):
    gate = bench.pipeline.backend = Gate()
    bench.engine = bench.hire(2)
    numbers = [bench.peer.ask("the parcel"), bench.peer.ask("quick brown fox " * 9)]
    bench.hub.receive(0)
    bench.engine.step()
    for _ in numbers:
        assert gate.inside.acquire(timeout=5), "the second batch waited for the first"
    numbers += [bench.peer.ask("refund") for _ in range(5)]
    bench.peer.send(Ping())
    bench.engine.step()
    assert Pong() in bench.peer.heard()
    assert bench.engine.works_on(MODEL)
    gate.open.set()
    assert sorted(bench.drain()) == numbers
    assert (5, 8) in gate.shapes or {(3, 8), (2, 8)} <= set(gate.shapes)


def test_texts_that_come_alone_run_in_the_same_thread(bench: Bench):
    bench.engine = bench.hire(3)
    for _ in range(20):
        bench.peer.ask("the parcel")
        bench.drain()
    assert len(bench.backend.threads) == 20
    assert len(set(bench.backend.threads)) == 1


def test_two_streams_give_the_answers_of_one(bench: Bench):
    alone = bench.pipeline(ClassificationBody(inputs=TEXTS).items())
    bench.engine = bench.hire(2)
    numbers = [bench.peer.ask(text) for text in TEXTS * 20]
    done = bench.drain()
    assert [done[number].answers[0] for number in numbers] == alone * 20


def test_a_batch_of_a_cancelled_request_holds_its_model(bench: Bench):
    """Else the model could be freed while a thread computes with it."""
    gate = bench.pipeline.backend = Gate()
    bench.engine = bench.hire(1)
    number = bench.peer.ask("the parcel")
    bench.hub.receive(0)
    bench.engine.step()
    assert gate.inside.acquire(timeout=5)
    bench.peer.send(Cancel(number))
    bench.engine.step()
    assert bench.engine.works_on(MODEL)
    gate.open.set()
    assert bench.drain() == {}
    assert not bench.engine.works_on(MODEL)


def test_a_batch_that_hangs_ends_the_engine(bench: Bench):
    gate = bench.pipeline.backend = Gate()
    bench.engine = bench.hire(1, hang_s=0.2)
    bench.peer.ask("the parcel")
    bench.hub.receive(0)
    bench.engine.step()
    bench.engine.step(wait_s=0.05)
    time.sleep(0.3)
    with pytest.raises(TimeoutError, match=r"a batch runs for more than 0\.2 s"):
        bench.engine.step(wait_s=0)
    gate.open.set()
