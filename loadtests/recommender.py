"""A recommender's burst: one request with 200 short texts, as a page is built from reviews."""

import itertools
import random

from locust import FastHttpUser, between, task

from loadtests.client import ask
from loadtests.shapes import wrong_classes
from loadtests.texts import reviews

NAME = "recommender"
TEXTS = 200


class Recommender(FastHttpUser):
    """A burst now and then, between other people's short requests."""

    wait_time = between(0.5, 1.5)
    _seeds = itertools.count()

    def on_start(self) -> None:
        """Give each user texts of its own, the same ones in every run."""
        self.dice = random.Random(f"{NAME} {next(self._seeds)}")

    @task
    def burst(self) -> None:
        """Classify all of them."""
        texts = reviews(self.dice, TEXTS)
        ask(
            self,
            NAME,
            "intent",
            texts,
            lambda answer: wrong_classes(answer, texts),
            long="truncate",
        )
