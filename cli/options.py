"""Options that several subcommands share."""

from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[
    Path, typer.Option("--store", envvar="SERVE_STORE", help="Folder of the model store.")
]
DEFAULT_STORE = Path("store")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
