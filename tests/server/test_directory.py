"""Names in URLs: plain, pinned, aliased; and sentences for those that lead nowhere."""

import pytest

from contracts.errors import Unavailable, UnknownModel
from server.directory import find_default, find_model
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


def anything(_: ModelStatus) -> bool:
    return True


def test_the_default_is_the_chosen_model_or_the_only_one_that_fits():
    assert find_default(MODELS, "entities", anything, "").id == "entities@4"
    assert find_default(MODELS[:2], None, anything, "").id == "intent@2"
    only = find_default(MODELS, None, lambda one: one.name == "entities", "tags")
    assert only.id == "entities@4"
    other = find_default(MODELS, "intent", lambda one: one.name == "entities", "tags")
    assert other.id == "entities@4"


def test_there_is_no_default_among_several_or_none_that_fit():
    with pytest.raises(UnknownModel, match=r"Several models are served .*--default-model"):
        find_default(MODELS, None, anything, "")
    with pytest.raises(UnknownModel, match="No model that embeds texts is served"):
        find_default(MODELS, None, lambda _: False, "embeds texts")
