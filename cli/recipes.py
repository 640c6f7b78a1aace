"""``tuneserve recipes``: a first recipe for a file of examples."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Write recipes for training.")


@app.callback()
def recipes() -> None:
    """Write recipes for training."""


@app.command()
def init(
    task: Annotated[str, typer.Argument(help="classification, ner, qa, summary or generation.")],
    examples: Annotated[Path, typer.Argument(metavar="DATAFILE", help="Labelled examples.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Of the model; default: the file's name.")
    ] = None,
    base: Annotated[
        str, typer.Option("--base", help='A checkpoint folder, a hub id, or "minilm".')
    ] = "minilm",
) -> None:
    """Look at a file and print a commented recipe for it: ... > recipe.toml.

    The recipe names the file as it is named here, so keep the recipe in the current folder.
    """
    from train.starter import starter

    typer.echo(starter(task, examples, name=name, base=base), nl=False)
