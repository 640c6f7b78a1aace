"""``tuneserve serve``: flags made from the one declaration of the settings."""

import inspect
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from contracts.errors import CheckpointError
from server.settings import Settings


def serve(**given: Any) -> None:
    """Serve every model of the store, and those named by --model, over HTTP."""
    from server.app import serve as run

    chosen = {name: value for name, value in given.items() if value not in (None, [])}
    try:
        settings = Settings(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "settings"
        raise CheckpointError(f"--{field.replace('_', '-')}: {first['msg']}") from None
    raise typer.Exit(run(settings))


def _signature() -> inspect.Signature:
    """One keyword per setting; None means that environment or default decides."""
    parameters = []
    for name, field in Settings.model_fields.items():
        flag = "--" + name.replace("_", "-")
        flags = f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag
        default = "" if field.default in (None, []) else f" [default: {field.default}]"
        option = typer.Option(
            flags,
            help=f"{field.description}{default} [env: SERVE_{name.upper()}]",
            show_default=False,
        )
        kind: Any = field.annotation
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[kind | None, option],
            )
        )
    return inspect.Signature(parameters)


serve.__signature__ = _signature()  # type: ignore[attr-defined]
