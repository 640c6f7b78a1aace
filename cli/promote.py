"""``tuneserve promote``: production moves past the gate, and past the version that it replaces."""

from typing import Annotated

import typer

from cli.options import DEFAULT_STORE, StoreOption
from cli.verify import OUTSIDE, DataOption, SetOption


def promote(
    model: Annotated[str, typer.Argument(help="NAME@VERSION.")],
    data: DataOption,
    settings: SetOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Move it whatever speaks against it; it is recorded.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="A sentence for the record.")] = "",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Point production to a version inside the gate that is not worse than what it replaces.

    Both answer the same labelled data. Exit status 1: it stays where it is, and a sentence says
    why.
    """
    from cli.verify import held_out
    from contracts.errors import CheckpointError
    from model_store.store import Store
    from train.promote import promote as decide
    from train.verify import verify

    home = Store(store)
    version, job, examples = held_out(model, data, settings or [], home)
    if version.plain:
        raise CheckpointError(f"{model} is a plain folder; add it with `tuneserve models add`.")
    found = verify(version, job, examples)
    decision = decide(
        home,
        version,
        job,
        examples,
        score=found.score,
        against=found.reasons,
        force=force,
        why=why,
    )
    typer.echo(decision.sentence, err=not decision.moved)
    if not decision.moved:
        raise typer.Exit(OUTSIDE)
