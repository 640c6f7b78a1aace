"""``tuneserve train`` and ``python -m train``: recipes in, published versions out."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from model_store.store import Store
from train.recipe import Recipe, load_recipe

PERCENTILES = (50, 90, 99, 100)


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
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Fine-tune, compress, verify and publish one model per recipe."""
    # All recipes are checked before the first one takes its minutes.
    loaded = [load_recipe(path, overrides or ()) for path in recipes]
    if dry_run:
        for recipe in loaded:
            typer.echo(json.dumps(plan(recipe), indent=2, ensure_ascii=False))
        return
    from train.jobs import train_all

    command = shlex.join(["tuneserve", *sys.argv[1:]])
    console = Console(stderr=True, quiet=quiet)
    for version in train_all(loaded, Store(store), command=command, console=console, jobs=jobs):
        typer.echo(f"{version.id} {version.folder}")


def plan(recipe: Recipe) -> dict[str, Any]:
    """What a run would do: the resolved recipe, the data and their lengths, steps and rows."""
    import tempfile

    from handlers.tokenization import TextTokenizer
    from train.base_model import save_tokenizer
    from train.batches import LengthBatches
    from train.run import read_examples
    from train.scratch import base_checkpoint
    from train.tasks import training_task

    job = training_task(recipe)
    examples = read_examples(recipe, job)
    texts = [job.text_of(example) for example in examples.train]
    with (
        base_checkpoint(recipe.model, texts, recipe.seed) as base,
        tempfile.TemporaryDirectory() as folder,
    ):
        save_tokenizer(base, Path(folder))
        tokenizer = TextTokenizer.load(Path(folder), recipe.model.max_tokens or 512)
    lengths = sorted(len(encoding) for encoding in tokenizer.encode(texts))
    room = tokenizer.room()
    optim = recipe.optim
    batches = LengthBatches(
        [min(length, room) + 2 for length in lengths],
        max_rows=optim.batch_rows,
        max_tokens=optim.batch_tokens,
        seed=recipe.seed,
    )
    return {
        "recipe": recipe.portable(),
        "examples": examples.counts,
        "notes": examples.notes,
        "labels": job.label_counts(examples.train),
        "tokens_per_text": {
            f"p{share}": lengths[min(len(lengths) - 1, len(lengths) * share // 100)]
            for share in PERCENTILES
        },
        "texts_longer_than_a_row": sum(length > room for length in lengths) / len(lengths),
        "steps": round(len(batches) * optim.epochs / optim.accumulate),
    }
