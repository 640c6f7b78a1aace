"""Names in URLs: plain, pinned, aliased; and sentences for those that lead nowhere."""

import pytest

from contracts.errors import Unavailable, UnknownModel
from server.directory import find_model
from server.messages import ModelStatus


def status(name: str, version: int, *aliases: str, state: str = "ready") -> ModelStatus:
    reason = "its weights are a pickle." if state == "refused" else None
    return ModelStatus(name, version, aliases, "text-classification", state, reason)  # type: ignore[arg-type]


MODELS = (
    status("intent", 2, "production"),
    status("intent", 3, "candidate"),
    status("entities", 1),
    status("entities", 4),
    status("broken", 1, state="refused"),
    status("slow", 1, state="loading"),
)


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("intent", 2),
        ("intent@3", 3),
        ("intent@candidate", 3),
        ("intent@production", 2),
        ("entities", 4),
        ("entities@1", 1),
    ],
)
def test_a_reference_leads_to_its_version(reference: str, version: int):
    assert find_model(reference, MODELS).version == version


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("intnet", "entities, intent, slow"),
        ("intent@9", "2, 3, candidate, production"),
        ("intent@", "2, 3"),
        ("broken", "pickle"),
    ],
)
def test_an_unknown_reference_names_what_exists(reference: str, named: str):
    with pytest.raises(UnknownModel, match=named):
        find_model(reference, MODELS)


def test_a_model_that_loads_is_unavailable_not_unknown():
    with pytest.raises(Unavailable):
        find_model("slow", MODELS)


def test_a_newer_version_that_is_refused_does_not_hide_the_older():
    models = (status("m", 1), status("m", 2, state="refused"))
    assert find_model("m", models).version == 1
