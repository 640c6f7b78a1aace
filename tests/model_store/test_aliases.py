"""Aliases point to versions that exist, and a broken file hides no version."""

from pathlib import Path

import pytest

from contracts.errors import CheckpointError, UnknownModel
from model_store.store import Store
from tests.model_store.checkpoints import build_version


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize("alias", ["3", "", "a/b", "..", "-x", "two words"])
def test_an_alias_is_a_name_and_not_a_number(store: Store, alias: str) -> None:
    store.publish("intent", build_version)
    with pytest.raises(CheckpointError, match="cannot be an alias"):
        store.set_alias("intent", alias, 1)


def test_an_alias_points_to_a_version_that_exists(store: Store) -> None:
    store.publish("intent", build_version)
    with pytest.raises(UnknownModel, match="intent has 1"):
        store.set_alias("intent", "production", 2)
    with pytest.raises(UnknownModel, match="models: intent"):
        store.set_alias("other", "production", 1)


@pytest.mark.parametrize("content", ["{", "[]", '{"production": "1"}', '{"a/b": 1}'])
def test_broken_aliases_are_named_and_versions_stay_reachable(store: Store, content: str) -> None:
    store.publish("intent", build_version)
    (store.root / "intent" / "aliases.json").write_text(content)
    good, broken = store.scan()
    assert [one.id for one in good] == ["intent@1"]
    assert [name for name, _ in broken] == ["intent"]
    with pytest.raises(CheckpointError, match=r"aliases\.json"):
        store.resolve("intent")
    assert store.resolve("intent@1").version == 1


def test_an_alias_to_nowhere_names_what_exists(store: Store) -> None:
    store.publish("intent", build_version)
    (store.root / "intent" / "aliases.json").write_text('{"production": 9}')
    good, [(name, error)] = store.scan()
    assert ([one.id for one in good], name) == (["intent@1"], "intent")
    assert "production points to version 9" in str(error)
    with pytest.raises(UnknownModel, match="no intent@9; intent has 1"):
        store.resolve("intent")
