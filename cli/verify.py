"""``tuneserve verify``: a published version's artifacts on labelled data, against the gate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import DEFAULT_STORE, JsonOption, StoreOption

if TYPE_CHECKING:
    from model_store.store import Store
    from model_store.version import ModelVersion
    from train.measure import Measured
    from train.tasks.base import TrainTask
    from train.verify import Verification

OUTSIDE = 1
"""Exit status where the gate refuses; 2 is wrong use."""

DataOption = Annotated[
    Path, typer.Option("--data", metavar="FILE", help="Labelled, as for training; held out.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="How to read FILE, or a limit: data.label=category, gates.max_score_loss=1.",
    ),
]


def verify(
    model: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or NAME@ALIAS.")],
    data: DataOption,
    settings: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Measure each artifact of a version on labelled data; exit status 1 outside the gate."""
    from model_store.store import Store
    from train.verify import verify as measure

    found = measure(*held_out(model, data, settings or [], Store(store)))
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        show(found)
    if found.reasons:
        raise typer.Exit(OUTSIDE)


def held_out(
    model: str, data: Path, settings: list[str], store: "Store"
) -> tuple["ModelVersion", "TrainTask", list[Any]]:
    """A version, and labelled data read as its task does.

    Raises:
        UnknownModel: no such version.
        CheckpointError: the data or a setting cannot be used.
    """
    from train.labelled import read_held_out
    from train.recipe_file import data_settings, gate_settings

    version = store.resolve(model)
    limits = gate_settings([one for one in settings if one.startswith("gates.")])
    columns = data_settings([one for one in settings if not one.startswith("gates.")])
    return version, *read_held_out(version.name, version.manifest, data, columns, limits)


def show(found: "Verification") -> None:
    """Print a table with a column per artifact, and what is wrong in sentences."""
    from rich.console import Console
    from rich.table import Table

    heads = [f"{one.artifact.format} {one.artifact.precision}" for one in found.measured]
    table = Table(found.version.id, *heads, box=None)
    rows = [_column(one, found.metric) for one in found.measured]
    for name in rows[0]:
        table.add_row(name, *(row.get(name, "") for row in rows))
    console = Console()
    console.print(table)
    console.print(
        f"{found.examples} examples; {found.metric} without a model {found.baseline:.4f}.",
        highlight=False,
    )
    for reason in found.reasons:
        console.print(reason, markup=False, highlight=False)


def _column(one: "Measured", metric: str) -> dict[str, str]:
    if not one.answered:
        return {"MB": f"{one.bytes / 1e6:.1f}", "gate": "outside"}
    calibration, company, memory = one.calibration, one.company, one.memory_bytes
    return {
        **{name: f"{value:.4f}" for name, value in one.dev.items()},
        "answers equal to fp32": f"{one.agreement:.4f}",
        "changed in a batch": f"{company.changed} of {company.items}" if company else "",
        "calibration error": f"{calibration.error:.4f}" if calibration else "",
        "MB": f"{one.bytes / 1e6:.1f}",
        "load, s": f"{one.load_s:.2f}",
        "texts/s": f"{one.items_per_s:.0f}",
        "alone p50, ms": f"{one.p50_ms:.1f}",
        "alone p99, ms": f"{one.p99_ms:.1f}",
        "memory, MB": f"{memory / 1e6:.0f}" if memory is not None else "",
        "gate": "inside" if one.verified else "outside",
    }
