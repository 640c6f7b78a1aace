"""The file of API keys: who may ask, for which models, how much.

::

    [shop]                                  # the key's name, which logs and metrics carry
    sha256 = "9f86d081884c7d65..."          # of the key; the key itself stands nowhere
    models = ["intent", "summary*"]         # default: all
    rate = "20/s"                           # default: any; also per min and h
    concurrency = 8                         # default: any

A key is 256 random bits, so a plain SHA-256 is safe at rest: slow hashes protect what people can
remember and others can guess, and 2**256 cannot be tried at any speed. The check so costs
microseconds.
"""

import hashlib
import json
import os
import re
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import TuneserveError

PREFIX = "ts_"
"""Of every key, so that people and scanners of leaked secrets know what they see."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}
_FIELDS = {"sha256", "models", "rate", "concurrency"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key as the server knows it."""

    name: str
    digest: bytes
    """SHA-256 of the key."""
    models: tuple[str, ...] = ("*",)
    """Names of models, or globs."""
    per_s: float | None = None
    """Requests per second; None: any."""
    concurrency: int | None = None
    """Requests in flight; None: any."""


def new_secret() -> str:
    """A new random key, to be shown once."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(secret.encode()).digest()


def read_keys(path: Path) -> list[Key]:
    """The keys of a file.

    Raises:
        TuneserveError: it cannot be read, or something in it is wrong; the sentence says what.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TuneserveError(f"The keys file {path} cannot be read: {error}.") from None
    keys = [_key(path, name, table) for name, table in tables.items()]
    if len({key.digest for key in keys}) < len(keys):
        raise TuneserveError(f"The keys file {path} has one key under two names.")
    return keys


def add_key(
    path: Path, name: str, *, models: list[str], rate: str | None, concurrency: int | None
) -> str:
    """Make a key and add it to a file, which is made if it is not there; a server sees it whole.

    Returns:
        The key itself, which is kept nowhere.

    Raises:
        TuneserveError: the name is taken or no name, a quota is none, or the file is broken.
    """
    known = {key.name for key in read_keys(path)} if path.exists() else set()
    if name in known:
        raise TuneserveError(f"{path} has a key {name} already; choose another name.")
    secret = new_secret()
    table: dict[str, Any] = {"sha256": digest_of(secret).hex()}
    table |= {"models": models} if models else {}
    table |= {"rate": rate} if rate is not None else {}
    table |= {"concurrency": concurrency} if concurrency is not None else {}
    _key(path, name, table)
    lines = [f"[{name}]", *(f"{field} = {json.dumps(value)}" for field, value in table.items())]
    before = path.read_text().rstrip("\n") + "\n\n" if known else ""
    _replace(path, before + "\n".join(lines) + "\n")
    return secret


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _key(path: Path, name: str, table: Any) -> Key:
    def wrong(what: str) -> TuneserveError:
        return TuneserveError(f"The keys file {path}: {what}.")

    if not _NAME.fullmatch(name):
        raise wrong(f"{name!r} is no name of a key: letters, digits, - and _, at most 64")
    if not isinstance(table, dict):
        raise wrong(f"{name} must be a table, [{name}]")
    if unknown := sorted(set(table) - _FIELDS):
        raise wrong(f"[{name}] has {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}")
    sha256, models = table.get("sha256"), table.get("models", ["*"])
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise wrong(f"[{name}] needs sha256 with 64 hexadecimal digits")
    if not (models and isinstance(models, list) and all(isinstance(one, str) for one in models)):
        raise wrong(f"[{name}] models must be a list of names")
    per_s = _per_second(table["rate"]) if "rate" in table else None
    if "rate" in table and per_s is None:
        raise wrong(f'[{name}] rate must be as "20/s", "100/min" or "1000/h"')
    concurrency = table.get("concurrency")
    if concurrency is not None and not (type(concurrency) is int and concurrency > 0):
        raise wrong(f"[{name}] concurrency must be a whole number, 1 or more")
    return Key(name, bytes.fromhex(sha256), tuple(models), per_s, concurrency)


def _per_second(rate: Any) -> float | None:
    match = _RATE.fullmatch(rate) if isinstance(rate, str) else None
    per_s = float(match[1]) / _SECONDS[match[2]] if match else 0.0
    return per_s or None
