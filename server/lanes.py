"""Lanes: what must not wait for each other is served by processes of its own.

A long answer takes seconds, a classification milliseconds: models that generate have their own
engine, with its own socket, its own waiting line and its own crashes.
"""

from enum import StrEnum


class Lane(StrEnum):
    """A kind of engine, named as its processes and sockets are."""

    ENCODING = "engine"
    GENERATION = "generation"

    @classmethod
    def of(cls, generates: bool) -> "Lane":
        """Where a model is served."""
        return cls.GENERATION if generates else cls.ENCODING
