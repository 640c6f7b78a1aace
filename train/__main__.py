"""``python -m train RECIPE.toml``: the same as ``tuneserve train``."""

import sys

import typer

from contracts.errors import TuneserveError
from train.command import train

try:
    typer.run(train)
except TuneserveError as error:
    sys.exit(f"train: {error}")
