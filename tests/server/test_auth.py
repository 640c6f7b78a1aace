"""A key opens what it is for, as much as it may; nothing else opens; without keys all may ask."""

import logging
import os
import time
from pathlib import Path

import pytest
from starlette.requests import Request

from contracts.errors import Forbidden, QuotaExceeded, TuneserveError, Unauthorized
from server.auth import ONLY_KEY, Caller, KeyRing
from server.keys import Key, add_key, digest_of


def request(**headers: str) -> Request:
    pairs = [
        (key.replace("_", "-").encode(), value.encode("latin-1")) for key, value in headers.items()
    ]
    return Request({"type": "http", "headers": pairs})


def bearer(key: str) -> Request:
    return request(authorization=f"Bearer {key}")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer opensesame"},
        {"authorization": "bearer opensesame"},
        {"x_api_key": "opensesame"},
    ],
)
def test_the_key_opens(headers: dict[str, str]):
    assert KeyRing("opensesame").identify(request(**headers)).name == "api-key"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer open"},
        {"authorization": "Bearer opensesame2"},
        {"authorization": "Basic opensesame"},
        {"authorization": "opensesame"},
        {"x_api_key": "OPENSESAME"},
        {"x_api_key": "öpen"},
        {"x_api_key": digest_of("opensesame").hex()},
    ],
)
def test_anything_else_is_refused(headers: dict[str, str]):
    with pytest.raises(Unauthorized):
        KeyRing("opensesame").identify(request(**headers))


def test_without_a_key_a_stray_token_is_ignored():
    for one in (bearer("hf_cached"), request()):
        caller = KeyRing().identify(one)
        caller.enter()
        caller.check_model("any")
        assert caller.name is None


def test_named_keys_stand_beside_the_single_one(tmp_path: Path):
    file = tmp_path / "keys.toml"
    shop = add_key(file, "shop", models=[], rate=None, concurrency=None)
    ring = KeyRing("opensesame", file)
    assert ring.identify(bearer(shop)).name == "shop"
    assert ring.identify(bearer("opensesame")).name == "api-key"
    with pytest.raises(Unauthorized):
        ring.identify(bearer(shop[:-1]))


def test_an_empty_file_of_keys_opens_to_nobody(tmp_path: Path):
    file = tmp_path / "keys.toml"
    file.write_text("")
    with pytest.raises(Unauthorized):
        KeyRing(file=file).identify(request())


def test_a_key_is_for_its_models():
    caller = Caller(Key("shop", b"", models=("intent", "summary-*")))
    for model in ("intent", "summary-de"):
        caller.check_model(model)
    for model in ("qa", "Intent", "summary"):
        with pytest.raises(Forbidden, match=f"shop is not for the model {model}"):
            caller.check_model(model)


def test_requests_in_flight_have_a_quota():
    caller = Caller(Key("shop", b"", concurrency=2))
    caller.enter()
    caller.enter()
    with pytest.raises(QuotaExceeded) as refused:
        caller.enter()
    assert refused.value.headers["Retry-After"] == "1"
    caller.leave()
    caller.enter()


def test_requests_in_a_second_have_a_quota(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr("server.auth.time.monotonic", lambda: now[0])
    caller = Caller(Key("shop", b"", per_s=4))
    came = 0
    for _ in range(1000):  # ten seconds, a hundred times a second
        now[0] += 0.01
        try:
            caller.enter()
        except QuotaExceeded:
            continue
        came += 1
    assert came in (43, 44)  # four at once, then four a second
    slow = Caller(Key("slow", b"", per_s=0.1))
    slow.enter()
    with pytest.raises(QuotaExceeded, match=r"0\.1 requests a second") as refused:
        slow.enter()
    assert refused.value.headers["Retry-After"] == "10"
    now[0] += 10
    slow.enter()


def change(file: Path, text: str) -> None:
    file.write_text(text)
    os.utime(file, ns=(time.time_ns(), time.time_ns()))


def test_a_changed_file_is_taken_up_and_a_broken_one_leaves_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("server.auth.LOOK_EVERY_S", 0.0)
    file = tmp_path / "keys.toml"
    first = add_key(file, "first", models=[], rate=None, concurrency=3)
    ring = KeyRing(file=file)
    caller = ring.identify(bearer(first))
    caller.enter()
    second = add_key(file, "second", models=[], rate=None, concurrency=None)
    assert ring.identify(bearer(second)).name == "second"
    assert ring.identify(bearer(first)).in_flight == 1

    good = file.read_text()
    with caplog.at_level(logging.ERROR, "server.auth"):
        for broken in ("[first", '[first]\nsha256 = "ab"', '[first]\nkey = "secret"'):
            change(file, broken)
            assert ring.identify(bearer(first)).name == "first"
        file.unlink()
        assert ring.identify(bearer(first)).name == "first"
    assert [record.message for record in caplog.records] == ["the keys stay as they were"] * 4

    change(file, good.partition("[second]")[2].join(["[second]", ""]))
    assert ring.identify(bearer(second)).name == "second"
    with pytest.raises(Unauthorized):
        ring.identify(bearer(first))
    caller.leave()


def test_a_broken_file_does_not_start(tmp_path: Path):
    file = tmp_path / "keys.toml"
    with pytest.raises(TuneserveError, match=r"keys\.toml cannot be read"):
        KeyRing(file=file)


def test_a_check_costs_microseconds(tmp_path: Path):
    file = tmp_path / "keys.toml"
    digests = [digest_of(str(number)).hex() for number in range(1000)]
    file.write_text(
        "".join(f'[k{n}]\nsha256 = "{d}"\nrate = "1000000/s"\n' for n, d in enumerate(digests))
    )
    ring = KeyRing(file=file)
    one = bearer("999")
    best = min(_seconds(ring, one) for _ in range(5))
    assert best < 50e-6  # about 5 on a quiet machine


def _seconds(ring: KeyRing, one: Request) -> float:
    began = time.perf_counter()
    for _ in range(200):
        caller = ring.identify(one)
        caller.enter()
        caller.leave()
    return (time.perf_counter() - began) / 200


def test_whoever_sends_hundreds_stands_behind_whoever_sends_one():
    busy, calm = (Caller(Key(name, digest_of(name))) for name in ("busy", "calm"))
    turns = []
    for _ in range(300):
        busy.enter()
        turns.append(busy.turn(30.0))
    calm.enter()
    assert turns == sorted(turns)
    assert sum(turn <= calm.turn(30.1) for turn in turns) < 25
    assert turns[-1] < 32, "nobody is put off for ever"


@pytest.mark.parametrize("caller", [Caller(None), Caller(Key(ONLY_KEY, digest_of("x")))])
def test_where_all_are_one_they_run_by_their_deadlines(caller: Caller):
    for _ in range(3):
        caller.enter()
    assert caller.turn(30.0) == 0.0
    assert not caller.one_of_many
