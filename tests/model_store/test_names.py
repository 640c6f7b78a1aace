"""Names that are allowed are one folder each."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import CheckpointError
from model_store.names import check_name
from model_store.store import Store
from tests.model_store.checkpoints import build_version


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@given(name=st.text(alphabet="a7.-_/\\ \0é~", max_size=6))
def test_an_allowed_name_is_one_folder_of_the_root(name: str) -> None:
    root = Path("/any/store")
    try:
        check_name(name)
    except CheckpointError:
        allowed = False
    else:
        allowed = True
        assert os.path.normpath(root / name) == f"{root}/{name}"
        assert not name.startswith(".")
    assert allowed == (re.fullmatch("[a7][-a7._]*", name) is not None)


@pytest.mark.parametrize("name", ["", "..", ".cache", "a/b", "/a", "a@1", "-a", "a\n", "é"])
def test_a_name_that_is_not_allowed_is_refused(store: Store, name: str) -> None:
    with pytest.raises(CheckpointError, match="cannot be a model's name"):
        store.publish(name, build_version)
    assert not store.root.exists()
