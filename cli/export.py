"""``tuneserve export``: one more artifact for a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.options import DEFAULT_STORE, StoreOption
from contracts.errors import CheckpointError

if TYPE_CHECKING:
    from model_store.manifest import Manifest
    from train.verify import Measured


def export(
    model: Annotated[
        str, typer.Argument(help="NAME, NAME@VERSION or NAME@ALIAS of the store; or a folder.")
    ],
    format: Annotated[Literal["onnx"], typer.Option("--format", help="The only one.")] = "onnx",
    precision: Annotated[
        Literal["fp32", "int8"], typer.Option("--precision", help="int8 is static.")
    ] = "fp32",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="DATA",
            help="For int8: labelled data as for training, or a .txt file with a text per line.",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="How to read DATA, e.g. data.label=category."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="For a folder: where the copy is written.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Export a model to ONNX: a new version in the store, or a copy of a folder.

    Versions are immutable, so the new artifact comes with a new version; aliases stay where they
    are.
    """
    from model_store.sources import open_source
    from model_store.store import Store
    from train.export import add_artifact
    from train.recipe_file import data_settings

    settings = data_settings(columns or ())
    home = Store(store)
    measured: list[Measured] = []

    def build(folder: Path) -> "Manifest":
        manifest, found = add_artifact(version, folder, precision, calibrate, settings)
        measured.extend(found)
        return manifest

    if output is not None:
        if output.exists() and any(output.iterdir()):
            raise CheckpointError(f"--output {output} is not empty.")
        version = open_source(output.name, model, cache_root=home.cache_root)
        output.mkdir(parents=True, exist_ok=True)
        build(output)
        typer.echo(f"Wrote {output}.")
    else:
        version = home.resolve(model)
        if version.plain:
            raise CheckpointError(f"{model} is a plain folder; say where to write with --output.")
        published = home.publish(version.name, build)
        typer.echo(f"Published {published.id} with {format}-{precision}.")
    for one in measured[1:]:
        state = "verified" if one.verified else f"not verified: {' '.join(one.reasons)}"
        typer.echo(f"{one.artifact.precision}: agreement {one.agreement:.4f}, {state}")
        if one.artifact.float_parts:
            typer.echo(f"in float: {', '.join(one.artifact.float_parts)}")
        for tried in one.tried:
            typer.echo(f"tried: {tried}")
