"""A chatbot's turn: what does the customer want, whom and what is it about, what does the page say.

Three requests, one after the other, as a bot makes them that decides on each answer; then a short
pause, much shorter than a person's, so that few users stand for many.
"""

import itertools
import random
import time

from locust import FastHttpUser, between, task

from loadtests.client import ask
from loadtests.shapes import wrong_answer, wrong_classes, wrong_entities
from loadtests.texts import turn

NAME = "chatbot"
"""The whole turn; each of its requests is counted under a name of its own too."""


class Chatbot(FastHttpUser):
    """One conversation after the other."""

    wait_time = between(0.05, 0.25)
    _seeds = itertools.count()

    def on_start(self) -> None:
        """Give each user texts of its own, the same ones in every run."""
        self.dice = random.Random(f"{NAME} {next(self._seeds)}")

    @task
    def turn(self) -> None:
        """Intent, entities, and a question about a policy."""
        now = turn(self.dice)
        page = {"question": now.question, "context": now.policy}
        began = time.perf_counter()
        good = ask(
            self,
            "chatbot: intent",
            "intent",
            now.message,
            lambda answer: wrong_classes(answer, [now.message]),
            long="truncate",  # a chatty customer is no error
        )
        good &= ask(
            self,
            "chatbot: entities",
            "entities",
            now.message,
            lambda answer: wrong_entities(answer, now.message),
        )
        good &= ask(
            self, "chatbot: qa", "qa", page, lambda answer: wrong_answer(answer, now.policy)
        )
        self.environment.events.request.fire(
            request_type="TURN",
            name=NAME,
            response_time=(time.perf_counter() - began) * 1000,
            response_length=0,
            exception=None if good else "one of its requests failed",
            context={},
        )
