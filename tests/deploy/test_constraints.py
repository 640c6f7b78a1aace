"""constraints.txt pins what the project installs, all of it, and nothing besides."""

import importlib.metadata
import tomllib
from collections import deque

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.dockerfile import ROOT

ELSEWHERE = {"onnxruntime", "onnxruntime-gpu"}
"""Pinned, but which of the two is installed depends on the platform."""

GROUPS = ("torch", "openvino", "train", "dev")


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in found}


def asked() -> list[str]:
    """What pyproject.toml names, but for the trackers, which ``dev`` has too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *(one for name in GROUPS for one in extras[name])]
    return [one for one in named if Requirement(one).name != project["name"]]


def closure() -> set[str]:
    """Every package that the project and its development tools need on this platform."""
    waiting = deque((Requirement(text), frozenset[str]()) for text in asked())
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement, extras_of_parent = waiting.popleft()
        marker = requirement.marker
        environments = [{"extra": extra} for extra in extras_of_parent or {""}]
        if marker and not any(marker.evaluate(one) for one in environments):
            continue
        extras = frozenset(requirement.extras)
        key = (canonicalize_name(requirement.name), extras)
        if key in seen:
            continue
        seen.add(key)
        needs = importlib.metadata.requires(requirement.name) or []
        waiting.extend((Requirement(text), extras) for text in needs)
    return {name for name, _ in seen}


def test_every_package_that_is_needed_is_pinned_to_what_is_installed() -> None:
    pinned = pins()
    for name in sorted(closure()):
        installed = Version(importlib.metadata.version(name))
        assert pinned.get(name) == Version(installed.public), name


def test_every_pin_is_needed() -> None:
    assert set(pins()) - closure() - ELSEWHERE == set()


def test_torch_is_pinned_without_a_build_and_within_the_range_of_the_project() -> None:
    pinned = pins()["torch"]
    assert pinned == Version("2.13.0")
    assert pinned.local is None


def test_both_builds_of_onnxruntime_are_pinned_to_one_version_and_one_is_installed() -> None:
    pinned = pins()
    assert pinned["onnxruntime"] == pinned["onnxruntime-gpu"]
    assert len(closure() & ELSEWHERE) == 1
    installed = {
        canonicalize_name(one.name) for one in importlib.metadata.distributions()
    } & ELSEWHERE
    assert len(installed) == 1


def test_pins_are_within_the_bounds_of_the_project() -> None:
    pinned = pins()
    for text in asked():
        requirement = Requirement(text)
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, text
