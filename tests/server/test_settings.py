"""One declaration gives env var, flag, default and help; the flag wins."""

from pathlib import Path

import pytest
import typer
from pydantic import ValidationError
from typer.main import get_command
from typer.testing import CliRunner

from cli.serve import serve
from server.settings import Settings

APP = typer.Typer()
APP.command()(serve)


def test_every_setting_is_a_flag_with_help_and_an_environment_variable():
    flags = {option.name: option for option in get_command(APP).params}
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert f"--{name.replace('_', '-')}" in flags[name].opts
        assert f"SERVE_{name.upper()}" in (flags[name].help or "")


def test_the_environment_sets_and_an_argument_wins(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVE_PORT", "9001")
    monkeypatch.setenv("SERVE_STORE", "elsewhere")
    monkeypatch.setenv("SERVE_MODEL", "a=x,b=owner/model")
    settings = Settings(port=9002)
    assert (settings.port, settings.store) == (9002, Path("elsewhere"))
    assert settings.model == ["a=x", "b=owner/model"]


@pytest.mark.parametrize(
    "wrong", [{"port": 80}, {"model": ["nameless"]}, {"backend": "tensorflow"}, {"timeout_s": 0}]
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_a_budget_fits_the_device():
    assert Settings(threads=1).batches_at_once("cpu") == 1
    assert Settings(threads=4).batches_at_once("cpu") == 2
    assert Settings(threads=4).batches_at_once("cuda") == 1
    assert Settings(threads=1, streams=3).batches_at_once("cpu") == 3


def test_the_key_is_not_shown():
    assert "secret" not in repr(Settings(api_key="secret"))


def test_help_is_readable():
    result = CliRunner().invoke(APP, ["--help"])
    assert result.exit_code == 0
    assert "--batch-tokens" in result.output
