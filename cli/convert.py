"""``tuneserve convert``: a pickled checkpoint becomes safetensors."""

from pathlib import Path
from typing import Annotated

import typer


def convert(
    folder: Annotated[Path, typer.Argument(help="The checkpoint's folder.")],
    destination: Annotated[
        Path | None,
        typer.Option("--to", help="Write a whole converted checkpoint there instead."),
    ] = None,
) -> None:
    """Write model.safetensors from pytorch_model.bin; tensors only, in a process of its own."""
    from rich.console import Console

    from model_store.convert import convert as convert_folder

    with Console(stderr=True).status("Converting") as status:
        written = convert_folder(
            folder,
            destination,
            progress=lambda path: status.update(f"Converting {path.name}"),
        )
    typer.echo(f"Wrote {written}.")
