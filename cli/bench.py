"""``tuneserve bench``: how fast each backend runs a model on this machine, and which is chosen."""

import json
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import DEFAULT_STORE, JsonOption, StoreOption

if TYPE_CHECKING:
    from model_store.choose import Candidate
    from model_store.version import ModelVersion


def bench(
    model: Annotated[str, typer.Argument(help="NAME, NAME@VERSION, NAME@ALIAS, or a folder.")],
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="As tuneserve serve --threads.")
    ] = None,
    streams: Annotated[
        int | None, typer.Option("--streams", min=1, help="As tuneserve serve --streams.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Measure now, though it was measured before.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Show what ``--backend auto`` chooses by: measured once per machine and shape of model."""
    from model_store.choose import fastest
    from model_store.choose_seq2seq import quickest
    from model_store.timings import measured

    logging.basicConfig(format="%(message)s", level=logging.INFO)
    version = _open(model, store)
    generates = version.manifest.generates
    each = _threads(threads, streams, generates=generates)
    candidates, pairs = _candidates(version)
    found = measured(version, candidates, each, again=again)
    costs = {name: one.cost for name, one in found.items() if math.isfinite(one.cost)}
    if generates:
        best = quickest(pairs, costs)[:1]
        chosen = {part.id for pair in best for part in (pair.encoder, pair.decoder)}
    else:
        chosen = {one.id for one in fastest(candidates, costs)[:1]}
    rows = [
        {
            "candidate": one.id,
            "lone_ms": _ms(found[one.id].lone_s) if one.id in found else None,
            "row_ms": _ms(found[one.id].row_s) if one.id in found else None,
            "batch_tokens": found[one.id].batch_tokens if one.id in found else None,
            "chosen": one.id in chosen,
        }
        for one in candidates
    ]
    if as_json:
        typer.echo(json.dumps({"model": version.id, "threads": each, "candidates": rows}, indent=2))
    else:
        _show(version, each, rows)


def _open(model: str, store: Path) -> "ModelVersion":
    from model_store.sources import open_source
    from model_store.store import Store

    home = Store(store)
    if Path(model).is_dir():
        return open_source(Path(model).resolve().name, model, cache_root=home.cache_root)
    return home.resolve(model)


def _threads(threads: int | None, streams: int | None, *, generates: bool) -> int:
    """Threads of one batch, as the server's engine would have."""
    from server.settings import Settings

    settings = Settings(threads=threads, streams=streams)
    choice = settings.backend_choice("cpu", 1 if generates else settings.batches_at_once("cpu"))
    return choice.threads_per_stream


def _candidates(version: "ModelVersion") -> tuple[list["Candidate"], list[Any]]:
    """All that may run it here; and, of a model that generates, the pairs of its two parts."""
    from model_store.backends.base import BackendChoice
    from model_store.choose import candidates_here
    from model_store.choose_seq2seq import pairs_here, parts_of

    choice = BackendChoice(device="cpu")
    if not version.manifest.generates:
        return candidates_here(version, choice), []
    pairs = pairs_here(version, choice)
    return parts_of(pairs), pairs


def _ms(seconds: float) -> float | None:
    return round(seconds * 1000, 3) if math.isfinite(seconds) else None


def _show(version: "ModelVersion", threads: int, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from model_store.backends.cpu import cpu_summary

    generates = version.manifest.generates
    table = Table(caption=f"{cpu_summary()}; threads per batch: {threads}", caption_justify="left")
    table.add_column(version.id)
    table.add_column("lone row, ms" if not generates else "lone, ms", justify="right")
    table.add_column("row of a batch, ms" if not generates else "of several, ms", justify="right")
    table.add_column("batch tokens", justify="right")
    table.add_column("auto")
    for row in rows:
        lone, each = row["lone_ms"], row["row_ms"]
        table.add_row(
            row["candidate"],
            "does not run" if lone is None else f"{lone:.2f}",
            "" if each is None else f"{each:.2f}",
            str(row["batch_tokens"] or ""),
            "chosen" if row["chosen"] else "",
        )
    Console().print(table)
