"""Whoever lacks a package is told the extra that has it."""

import tomllib

import pytest
from packaging.requirements import Requirement

from contracts.errors import CheckpointError
from contracts.extras import EXTRAS, require
from tests.deploy.dockerfile import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    return {Requirement(one).name for one in requirements}


def test_every_package_that_may_be_missing_is_in_its_extra_and_not_in_the_core() -> None:
    extras = PROJECT["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert package in names(extras[extra])
        assert package not in names(PROJECT["dependencies"])


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("contracts.extras.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"pip install 'tuneserve\[torch\]'"):
        require("torch", "nncf")
    with pytest.raises(CheckpointError, match=r"torch is not .*'tuneserve\[train\]'"):
        require("torch", extra="train")
