"""The file of keys: what is made opens, what is wrong is named, and no key stands in it."""

import stat
from pathlib import Path

import pytest

from contracts.errors import TuneserveError
from server.keys import add_key, digest_of, read_keys

DIGEST = "ab" * 32


def test_what_is_made_is_read_again(tmp_path: Path):
    file = tmp_path / "new" / "keys.toml"
    shop = add_key(file, "shop", models=["intent", "sum*"], rate="90/min", concurrency=8)
    bot = add_key(file, "bot", models=[], rate=None, concurrency=None)
    first, second = read_keys(file)
    assert (first.name, first.models, first.per_s, first.concurrency) == (
        "shop",
        ("intent", "sum*"),
        1.5,
        8,
    )
    assert (second.models, second.per_s, second.concurrency) == (("*",), None, None)
    assert (first.digest, second.digest) == (digest_of(shop), digest_of(bot))


def test_the_file_has_no_key_and_is_the_owners(tmp_path: Path):
    file = tmp_path / "keys.toml"
    secret = add_key(file, "shop", models=[], rate=None, concurrency=None)
    assert secret.startswith("ts_")
    assert len(secret) > 43
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret != add_key(file, "shop2", models=[], rate=None, concurrency=None)
    assert [one.name for one in tmp_path.iterdir()] == ["keys.toml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "cannot be read"),
        ("a = 1", "must be a table"),
        ("[a]", "sha256"),
        ('[a]\nsha256 = "abc"', "64 hexadecimal"),
        (f'[a]\nsha256 = "{DIGEST}"\nmodel = "b"', "known are concurrency, models, rate, sha256"),
        (f'[a]\nsha256 = "{DIGEST}"\nmodels = []', "list of names"),
        (f'[a]\nsha256 = "{DIGEST}"\nmodels = "b"', "list of names"),
        (f'[a]\nsha256 = "{DIGEST}"\nrate = 5', "20/s"),
        (f'[a]\nsha256 = "{DIGEST}"\nrate = "0/s"', "20/s"),
        (f'[a]\nsha256 = "{DIGEST}"\nconcurrency = 0', "whole number"),
        (f'[a]\nsha256 = "{DIGEST}"\nconcurrency = true', "whole number"),
        (f'["a b"]\nsha256 = "{DIGEST}"', "no name of a key"),
        (f'[a]\nsha256 = "{DIGEST}"\n[b]\nsha256 = "{DIGEST}"', "under two names"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str):
    file = tmp_path / "keys.toml"
    file.write_text(text)
    with pytest.raises(TuneserveError, match=said):
        read_keys(file)


@pytest.mark.parametrize(
    ("name", "rate", "said"), [("shop", None, "already"), ("a.b", None, "name"), ("c", "5", "20/s")]
)
def test_a_key_that_would_break_the_file_is_not_made(
    tmp_path: Path, name: str, rate: str | None, said: str
):
    file = tmp_path / "keys.toml"
    add_key(file, "shop", models=[], rate=None, concurrency=None)
    before = file.read_text()
    with pytest.raises(TuneserveError, match=said):
        add_key(file, name, models=[], rate=rate, concurrency=None)
    assert file.read_text() == before
