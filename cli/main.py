"""The ``tuneserve`` command: its subcommands by name, and how errors are told.

A subcommand is a function in a module of its own, which is imported when the subcommand runs: help
comes at once, though serving and training import much.
"""

import os
from importlib import import_module
from typing import Any

import typer
import typer.core

from contracts.errors import TuneserveError
from contracts.extras import EXTRAS, how_to_install

COMMANDS: dict[str, tuple[str, str, str]] = {
    "serve": ("cli.serve", "serve", "Serve models over HTTP."),
    "models": ("cli.models", "app", "Add, list, show, alias and remove models of the store."),
    "keys": ("cli.keys", "app", "Make and list API keys."),
    "convert": ("cli.convert", "convert", "Turn a pickled checkpoint into safetensors."),
    "predict": (
        "cli.predict",
        "predict",
        "Answer texts with the server's own pipeline.",
    ),
    "export": ("cli.export", "export", "Export a model to ONNX, in fp32 or int8."),
    "bench": ("cli.bench", "bench", "Show how fast each backend runs a model here."),
    "verify": ("cli.verify", "verify", "Measure a version's artifacts on labelled data."),
    "promote": ("cli.promote", "promote", "Move production to a version that is not worse."),
    "train": ("cli.train", "train", "Fine-tune, compress, verify and publish a model."),
    "recipes": ("cli.recipes", "app", "Write a first recipe for a file of examples."),
}
"""Module, attribute (a function or a ``typer.Typer``) and one line of help of each subcommand."""

WRONG_USE = 2
"""Exit status of every error that a person can put right."""


class Commands(typer.core.TyperGroup):
    """The subcommands of ``COMMANDS``, imported when they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, as help lists them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A placeholder with name and help, for lists; ``resolve_command`` loads the real one."""
        if cmd_name not in COMMANDS:
            return None
        return typer.core.TyperCommand(cmd_name, help=COMMANDS[cmd_name][2])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the subcommand that is called."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and load_command(str(name)), rest

    def invoke(self, ctx: Any) -> Any:
        """Run a subcommand; a named error becomes one sentence, a bug keeps its traceback."""
        try:
            return super().invoke(ctx)
        except TuneserveError as error:
            if os.environ.get("TUNESERVE_DEBUG"):
                raise
            typer.echo(f"tuneserve: {error}", err=True)
            raise typer.Exit(WRONG_USE) from None
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS or os.environ.get("TUNESERVE_DEBUG"):
                raise
            # Whoever runs a command that needs one of these needs most of them.
            typer.echo(f"tuneserve: {how_to_install(package, 'train')}", err=True)
            raise typer.Exit(WRONG_USE) from None


def load_command(name: str) -> Any:
    """Import a subcommand and make it callable by typer."""
    module, attribute, help_line = COMMANDS[name]
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(name, help=found.__doc__ or help_line)(found)
        found = single
    command = typer.main.get_command(found)
    command.name = name
    return command


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def tuneserve() -> None:
    """Serve fine-tuned text models, and train them. TUNESERVE_DEBUG=1 shows tracebacks."""


if __name__ == "__main__":
    app()
