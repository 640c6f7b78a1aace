"""``tuneserve keys``: API keys with a name, models and quotas, kept as hashes in a file."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Make and list API keys.")

FileOption = Annotated[
    Path, typer.Option("--file", envvar="SERVE_KEYS_FILE", help="The file of keys.")
]
DEFAULT_FILE = Path("keys.toml")


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Stands in logs and metrics.")],
    models: Annotated[
        str | None, typer.Option("--models", metavar="A,B", help="Names or globs; default: all.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="N/s", help="Requests per s, min or h.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="Requests in flight.")
    ] = None,
    file: FileOption = DEFAULT_FILE,
) -> None:
    """Make a key, print it once, and add its hash to the file; a running server takes it up."""
    from server.keys import add_key

    chosen = [one for one in (models or "").split(",") if one]
    typer.echo(add_key(file, name, models=chosen, rate=rate, concurrency=concurrency))
    typer.echo(f"This is the key {name}; {file} has only its hash.", err=True)


@app.command("list")
def listing(file: FileOption = DEFAULT_FILE) -> None:
    """Print every key's name, models and quotas. To revoke one, delete its table in the file."""
    from server.keys import read_keys

    for key in read_keys(file):
        rate = "any rate" if key.per_s is None else f"{key.per_s:g}/s"
        most = "any number" if key.concurrency is None else str(key.concurrency)
        typer.echo(f"{key.name}  {','.join(key.models)}  {rate}  {most} in flight")
