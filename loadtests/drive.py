"""Drive the scenarios against a server and print what was measured as JSON.

A process of its own, started by loadtests.run: importing locust replaces the sockets of the whole
interpreter by gevent's.

    python -m loadtests.drive URL SECONDS USERS
"""

import json
import sys
from dataclasses import asdict
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust.env import Environment
from locust.stats import StatsEntry

from loadtests.chatbot import Chatbot
from loadtests.client import WRONG
from loadtests.limits import Measured
from loadtests.recommender import Recommender


def drive(url: str, seconds: float, users: int) -> dict[str, Any]:
    """Let ``users`` chatbots and one recommender ask for ``seconds``.

    Returns:
        ``measured``: a ``Measured`` per name, as dictionaries; ``errors``: how often each failure
        happened, by its text.
    """
    Chatbot.fixed_count, Recommender.fixed_count = users, 1
    environment = Environment(user_classes=[Chatbot, Recommender], host=url)
    runner = environment.create_local_runner()
    runner.start(user_count=users + 1, spawn_rate=users + 1)
    gevent.sleep(seconds)
    runner.quit()
    wrong: dict[str, int] = {}
    errors: dict[str, int] = {}
    for error in environment.stats.errors.values():
        text = str(error.error)
        errors[f"{error.name}: {text}"] = error.occurrences
        if WRONG in text:
            wrong[error.name] = wrong.get(error.name, 0) + error.occurrences
    measured = [
        asdict(_measured(entry, wrong.get(entry.name, 0)))
        for _, entry in sorted(environment.stats.entries.items())
    ]
    return {"measured": measured, "errors": errors}


def _measured(entry: StatsEntry, wrong: int) -> Measured:
    return Measured(
        name=entry.name,
        requests=entry.num_requests,
        failures=entry.num_failures,
        wrong=wrong,
        p50_ms=entry.get_response_time_percentile(0.5),
        p99_ms=entry.get_response_time_percentile(0.99),
        per_second=entry.total_rps,
    )


if __name__ == "__main__":
    json.dump(drive(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])), sys.stdout)
