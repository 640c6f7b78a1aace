"""The wheel holds the packages, their data and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.deploy.dockerfile import ROOT

PACKAGES = ("contracts", "model_store", "handlers", "server", "train", "cli")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    # A copy: building writes into the source tree.
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            (source / name).write_bytes((ROOT / name).read_bytes())
    for name in (*PACKAGES, "loadtests", "deploy"):  # the latter two to be left out
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".csv":
                target = source / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, source], check=True, timeout=120)
    [built] = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_wheel_holds_every_file_of_every_package(wheel: zipfile.ZipFile) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "cli/main.py" in files
    assert files - set(wheel.namelist()) == set()


def test_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {Path(name).parts[0] for name in wheel.namelist()}
    assert tops == {*PACKAGES, "tuneserve-0.1.0.dist-info"}


def test_wheel_installs_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    info = "tuneserve-0.1.0.dist-info"
    assert b"tuneserve = cli.main:app" in wheel.read(f"{info}/entry_points.txt")
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
