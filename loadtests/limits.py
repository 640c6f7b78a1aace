"""What was measured, what is allowed, and the difference between the two."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LIMITS = Path(__file__).with_name("limits.toml")


@dataclass(frozen=True, slots=True)
class Measured:
    """All requests that were counted under one name.

    Attributes:
        name: a scenario (``chatbot``) or a part of one (``chatbot: qa``).
        requests: answered, well or badly.
        failures: those of them that were not answered with 200 and a right shape.
        wrong: those of the failures that had status 200 and a wrong shape.
        p50_ms: half of them took at most so long.
        p99_ms: 99 of 100 took at most so long.
        per_second: requests per second.
    """

    name: str
    requests: int
    failures: int
    wrong: int
    p50_ms: float
    p99_ms: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What one scenario must hold; times in milliseconds at the client."""

    max_failure_ratio: float
    max_p50_ms: float
    max_p99_ms: float
    min_per_second: float


def read_limits(path: Path = LIMITS) -> dict[str, Limits]:
    """Limits by scenario.

    Raises:
        TypeError: a scenario lacks a limit, or has one that is not known.
    """
    with path.open("rb") as file:
        return {name: Limits(**given) for name, given in tomllib.load(file).items()}


def missed(measured: Sequence[Measured], limits: Mapping[str, Limits]) -> list[str]:
    """One sentence per limit that is missed; empty where all hold.

    An answer of a wrong shape is a miss whatever the limits say, and so is a scenario that was not
    run at all.
    """
    found = {one.name: one for one in measured}
    sentences = [
        f"{one.name}: {one.wrong} answers had a wrong shape." for one in measured if one.wrong
    ]
    for name, limit in limits.items():
        one = found.get(name)
        if one is None or not one.requests:
            sentences.append(f"{name}: no request was answered.")
            continue
        ratio = one.failures / one.requests
        if ratio > limit.max_failure_ratio:
            sentences.append(
                f"{name}: {ratio:.2%} failed; at most {limit.max_failure_ratio:.2%} may."
            )
        if one.p50_ms > limit.max_p50_ms:
            sentences.append(f"{name}: p50 is {one.p50_ms:.0f} ms; limit {limit.max_p50_ms:.0f}.")
        if one.p99_ms > limit.max_p99_ms:
            sentences.append(f"{name}: p99 is {one.p99_ms:.0f} ms; limit {limit.max_p99_ms:.0f}.")
        if one.per_second < limit.min_per_second:
            sentences.append(
                f"{name}: {one.per_second:.2f} a second; at least {limit.min_per_second:.2f} asked."
            )
    return sentences
