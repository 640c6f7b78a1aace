"""``tuneserve models``: what is in the store, and how it gets there and out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import DEFAULT_STORE, JsonOption, StoreOption

if TYPE_CHECKING:
    from model_store.version import ModelVersion

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The models of the store.")

Reference = Annotated[str, typer.Argument(help="NAME, NAME@VERSION or NAME@ALIAS.")]


@app.command()
def add(
    folder: Annotated[str, typer.Argument(help="A checkpoint folder, a hub id or a URL.")],
    name: Annotated[str, typer.Option("--name", help="The model's name in the store.")],
    task: Annotated[
        str | None, typer.Option("--task", help="Default: as its configuration says.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="Folder of the tokenizer, if elsewhere.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Copy a checkpoint into the store, as the model's next version."""
    from cli.progress import bytes_bar
    from model_store.copying import copied_bytes, copy_checkpoint
    from model_store.names import check_name
    from model_store.sources import open_source
    from model_store.store import Store

    check_name(name)
    target = Store(store)
    source = open_source(name, folder, task=task, tokenizer=tokenizer, cache_root=target.cache_root)
    # Every byte is copied and then hashed.
    with bytes_bar(f"Adding {name}", 2 * copied_bytes(source)) as progress:
        version = target.publish(
            name, lambda fresh: copy_checkpoint(source, fresh, progress), progress=progress
        )
    typer.echo(f"Added {version.id} ({version.manifest.task}).")


@app.command(name="list")
def list_models(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List every version of every model, broken ones too."""
    from model_store.store import Store

    good, broken = Store(store).scan()
    if as_json:
        rows = [_facts(version) for version in good]
        errors = [{"model": name, "error": str(error)} for name, error in broken]
        typer.echo(json.dumps({"models": rows, "broken": errors}, indent=2))
        return
    if not good and not broken:
        typer.echo(f"{store} holds no models yet; add one with `tuneserve models add`.")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "version", "aliases", "task", "artifacts", "MB", "created", box=None)
    for version in good:
        table.add_row(
            version.name,
            "plain" if version.plain else str(version.version),
            ", ".join(version.aliases),
            version.manifest.task,
            ", ".join(f"{one.format}-{one.precision}" for one in version.manifest.artifacts),
            f"{sum(one.bytes for one in version.manifest.artifacts) / 1e6:.1f}",
            f"{version.manifest.created:%Y-%m-%d %H:%M}",
        )
    console = Console()
    console.print(table)
    for name, error in broken:
        console.print(f"{name} is broken: {error}", style="red", markup=False, highlight=False)


@app.command()
def show(
    model: Reference,
    store: StoreOption = DEFAULT_STORE,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file with its hash.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one version: its manifest, its artifacts and their scores."""
    from model_store.hashing import verify_hashes
    from model_store.store import Store

    version = Store(store).resolve(model)
    if verify:
        from cli.progress import bytes_bar

        total = sum(artifact.bytes for artifact in version.manifest.artifacts)
        with bytes_bar(f"Verifying {version.id}", total) as progress:
            verify_hashes(version, progress)
    facts = _facts(version)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    artifacts = facts.pop("artifacts")
    files = facts.pop("files")
    summary = Table(show_header=False, box=None)
    for key, value in facts.items():
        if value not in (None, [], {}):
            summary.add_row(key, _spell(value))
    table = Table("artifact", "path", "MB", "verified", "scores", "sha256", box=None)
    for one in artifacts:
        table.add_row(
            f"{one['format']}-{one['precision']}",
            one["path"],
            f"{one['bytes'] / 1e6:.1f}",
            "yes" if one["verified"] else "no",
            _spell(one["scores"]),
            one["sha256"][:12],
        )
    console.print(summary)
    console.print(table)
    for one in artifacts:
        if one["float_parts"]:
            kept = _spell(one["float_parts"])
            console.print(f"{one['format']}-{one['precision']} keeps {kept} in float")
    if files:
        console.print(f"and {len(files)} files: {', '.join(files)}", highlight=False)


@app.command()
def alias(
    name: Annotated[str, typer.Argument(help="The model.")],
    alias: Annotated[str, typer.Argument(help="For example: production.")],
    version: Annotated[int, typer.Argument(help="The version it shall point to.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Point an alias of a model to a version."""
    from model_store.store import Store

    Store(store).set_alias(name, alias, version)
    typer.echo(f"{name}@{alias} is {name}@{version}.")


@app.command()
def remove(
    model: Annotated[str, typer.Argument(help="NAME@VERSION.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Delete one version, unless an alias points to it."""
    from contracts.errors import CheckpointError
    from model_store.store import Store

    name, _, version = model.partition("@")
    if not version.isdecimal():
        raise CheckpointError(f"{model!r} must name one version to remove, as {name}@3 does.")
    Store(store).remove(name, int(version))
    typer.echo(f"Removed {model}.")


def _facts(version: "ModelVersion") -> dict[str, Any]:
    return {
        "model": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "plain": version.plain,
        "folder": str(version.folder),
        **version.manifest.model_dump(mode="json"),
    }


def _spell(value: Any) -> str:
    """A value on one line: lists by commas, tables as name=value."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={_spell(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
