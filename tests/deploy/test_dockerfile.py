"""The Dockerfile keeps its promises; that its steps work is test_image_steps.py's part."""

import re
import tomllib

import pytest

from tests.deploy.dockerfile import ROOT, SCRIPTS, image, stages

TARGETS = ("cpu", "cpu-models", "cuda", "slim")


def test_every_run_step_is_one_script_of_deploy_build() -> None:
    scripts = {path.name for path in (ROOT / "deploy" / "build").iterdir()}
    called = set()
    for stage in stages().values():
        for number, text in enumerate(stage.all("RUN")):
            assert text.startswith("["), f"{text}: not in exec form"
            script = stage.argv("RUN")[0] if number + 1 == len(stage.all("RUN")) else text
            assert script.startswith(SCRIPTS)
            called.add(script.removeprefix(SCRIPTS))
    assert called == scripts


def test_every_script_stops_at_the_first_error() -> None:
    for path in (ROOT / "deploy" / "build").iterdir():
        assert path.stat().st_mode & 0o111, f"{path.name} is not executable"
        assert path.read_text().startswith("#!/bin/sh\n")
        assert "\nset -eu\n" in path.read_text()


def test_default_target_is_the_cpu_image() -> None:
    assert list(stages())[-1] == "cpu"


@pytest.mark.parametrize("target", TARGETS)
def test_image_runs_as_the_user_that_was_added(target: str) -> None:
    stage = image(target)
    users = [text for text in stage.all("RUN") if "add-user.sh" in text]
    assert len(users) == 1
    uid = users[0].rpartition('"')[0].rpartition('"')[2]
    assert stage.all("USER") == [f"{uid}:{uid}"]
    assert int(uid) >= 10_000


@pytest.mark.parametrize("target", TARGETS)
def test_server_is_process_one_and_gets_sigterm(target: str) -> None:
    stage = image(target)
    assert stage.argv("ENTRYPOINT") == ["/opt/tuneserve/bin/tuneserve"]
    assert stage.argv("CMD") == ["serve"]
    assert stage.all("STOPSIGNAL") == ["SIGTERM"]
    [copied] = [text for text in stage.all("COPY") if text.endswith(" /opt/tuneserve")]
    installed = f"installed-{target}" if target in ("cuda", "slim") else "installed"
    assert copied == f"--from={installed} /opt/tuneserve /opt/tuneserve"


@pytest.mark.parametrize("target", TARGETS)
def test_image_listens_outside_and_is_checked_on_the_same_port(target: str) -> None:
    stage = image(target)
    environment = stage.environment()
    assert environment["SERVE_HOST"] == "0.0.0.0"
    assert stage.all("EXPOSE") == [environment["SERVE_PORT"]]
    [check] = stage.all("HEALTHCHECK")
    assert "/usr/local/lib/tuneserve-healthcheck.py" in check
    assert "deploy/healthcheck.py /usr/local/lib/tuneserve-healthcheck.py" in stage.all("COPY")


@pytest.mark.parametrize("target", ["cpu", "cuda", "slim"])
def test_store_is_a_volume(target: str) -> None:
    stage = image(target)
    assert stage.all("VOLUME") == [stage.environment()["SERVE_STORE"]]


def test_every_base_image_has_a_version() -> None:
    found = stages()
    arguments = dict(text.split("=", 1) for text in found[""].all("ARG"))
    for stage in list(found.values())[1:]:
        if stage.base in found:
            continue
        variable = re.fullmatch(r"\$\{(\w+)\}", stage.base)
        base = arguments[variable[1]] if variable else stage.base
        assert re.search(r":\d+\.\d+\.\d+", base), f"{base} may be another image tomorrow"


def test_python_of_the_image_is_one_the_project_supports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    [base] = [text for text in stages()[""].all("ARG") if text.startswith("PYTHON_IMAGE=")]
    assert base.startswith("PYTHON_IMAGE=python:3.11.")


def test_nothing_secret_and_no_moving_tag() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert ":latest" not in text
    for stage in stages().values():
        for given in stage.all("ARG") + stage.all("ENV"):
            assert not re.search(r"key|token|secret|password", given, re.IGNORECASE)


def test_everything_that_is_copied_exists_and_is_not_ignored() -> None:
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for stage in stages().values():
        for text in stage.all("COPY"):
            words = text.split()
            if words[0].startswith("--from"):
                continue
            for source in words[:-1]:
                assert (ROOT / source).exists()
                assert source == "." or source in kept


def test_packages_of_the_wheel_and_nothing_of_the_workshop_reach_the_build() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    kept = {line[1:] for line in lines if line[:1] == "!"}
    assert {package.rstrip("*") for package in packages} <= kept
    assert not kept & {"tests", "loadtests", "store", ".git", ".venv"}
