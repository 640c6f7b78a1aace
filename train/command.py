"""``tuneserve train`` and ``python -m train``: recipes in, published versions out."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model_store.store import Store
from train.processes import is_first
from train.recipe_file import load_recipe


def train(
    recipes: Annotated[
        list[Path], typer.Argument(metavar="RECIPE.toml...", help="One model each, in this order.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a value, for example optim.lr=3e-5."
        ),
    ] = None,
    store: Annotated[
        Path, typer.Option("--store", envvar="SERVE_STORE", help="Folder of the model store.")
    ] = Path("store"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check recipe and data, print what would be done.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Recipes at a time, sharing the cores.")
    ] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same recipe.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Fine-tune, compress, verify and publish one model per recipe."""
    # All recipes are checked before the first one takes its minutes.
    loaded = [load_recipe(path, overrides or ()) for path in recipes]
    if dry_run:
        from train.plan import plan

        for recipe in loaded:
            typer.echo(json.dumps(plan(recipe), indent=2, ensure_ascii=False))
        return
    from train.jobs import train_all

    command = shlex.join(["tuneserve", *sys.argv[1:]])
    console = Console(stderr=True, quiet=quiet or not is_first())
    for version in train_all(
        loaded, Store(store), command=command, console=console, jobs=jobs, resume=resume
    ):
        typer.echo(f"{version.id} {version.folder}")
