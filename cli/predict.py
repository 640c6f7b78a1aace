"""``tuneserve predict``: the server's own pipeline without HTTP."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from pydantic import ValidationError

from cli.options import DEFAULT_STORE, StoreOption
from contracts.bodies import bodies_of, body_for
from contracts.errors import CheckpointError, InvalidRequest, ServingError
from contracts.schemas import Body
from contracts.tasks import Task
from model_store.backends.base import BackendChoice, BackendName, DeviceName, PrecisionName
from model_store.manifest import Manifest

if TYPE_CHECKING:
    from cli.predict_file import Asking


def predict(
    name: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or NAME@ALIAS.")],
    text: Annotated[
        list[str] | None, typer.Option("--text", help="A text; repeat it for several.")
    ] = None,
    text_pair: Annotated[
        str | None, typer.Option("--text-pair", help="Classification: the second text.")
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option("--compare", help="Embeddings: a text to compare with; repeat it."),
    ] = None,
    question: Annotated[
        str | None, typer.Option("--question", help="Question answering; --text does it too.")
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", help="Question answering: the text with the answer.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A table of texts instead: CSV, NDJSON or Parquet."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="With --file: the table with predictions.")
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--column", help="Of the text; default: text, or question."),
    ] = None,
    second_column: Annotated[
        str | None,
        typer.Option("--second-column", help="Of the pair's other text, or the context."),
    ] = None,
    parameters: Annotated[
        str, typer.Option("--json", metavar="PARAMETERS", help='For example {"top_k": 1}.')
    ] = "{}",
    backend: Annotated[BackendName, typer.Option("--backend")] = "auto",
    precision: Annotated[PrecisionName, typer.Option("--precision")] = "auto",
    device: Annotated[DeviceName, typer.Option("--device")] = "auto",
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME=FOLDER_OR_HUB_ID", help="Not from the store."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Answer texts as the server would, and print the JSON; or a whole file."""
    from cli.predict_file import predict_file
    from handlers.load import load_pipeline
    from model_store.sources import open_source
    from model_store.store import Store

    home = Store(store)
    if model is None:
        version = home.resolve(name)
    else:
        called, equals, reference = model.partition("=")
        if not equals or called != name:
            raise CheckpointError(f"--model must be {name}=FOLDER, not {model}.")
        version = open_source(name, reference, cache_root=home.cache_root)
    texts = list(text or [])
    chosen = _parameters(parameters)
    if file is not None or out is not None:
        if file is None or out is None or texts or question or context or compare or text_pair:
            raise InvalidRequest("--file and --out belong together, without other texts.")
        asking, asked = _asking(version.manifest, column, second_column, chosen)
        pipeline = load_pipeline(version, BackendChoice(backend, precision, device))
        rows, failed = predict_file(file, out, asked, asking, pipeline)
        pipeline.close()
        typer.echo(f"{out}: {rows} rows, {failed} of them failed.", err=True)
        return
    inputs = _inputs(version.manifest.task, texts, text_pair, compare or [], question, context)
    body = _body(version.manifest, {"inputs": inputs, "parameters": chosen})
    pipeline = load_pipeline(version, BackendChoice(backend, precision, device))
    answers = pipeline(body.items())
    pipeline.close()
    for answer in answers:
        if isinstance(answer, ServingError):
            raise answer
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    typer.echo(orjson.dumps(body.shape(answers), option=options).decode())


def _asking(
    manifest: Manifest, column: str | None, second: str | None, parameters: Any
) -> tuple["Asking", Task]:
    """How a row of a file is asked, and the task that this is.

    Raises:
        InvalidRequest: the parameters do not fit.
    """
    from cli.predict_file import Asking

    def body(inputs: Any) -> Body:
        return _body(manifest, {"inputs": inputs, "parameters": parameters})

    if manifest.task is Task.QUESTION_ANSWERING:
        asking = Asking((column or "question", second or "context"), ("question", "context"), body)
    elif second is not None:
        asking = Asking((column or "text", second), ("text", "text_pair"), body)
    else:
        asking = Asking((column or "text",), (), body)
    sample = asking.inputs(dict.fromkeys(asking.columns, "a"))
    return asking, body(sample).task


def _inputs(
    task: Task,
    texts: list[str],
    text_pair: str | None,
    compare: list[str],
    question: str | None,
    context: str | None,
) -> Any:
    """The ``inputs`` of the HTTP body that says the same.

    Raises:
        InvalidRequest: an option is missing; it is named.
    """
    if task is Task.QUESTION_ANSWERING:
        asked = question or (texts[0] if texts else None)
        if asked is None or context is None:
            raise InvalidRequest("Question answering needs --question and --context.")
        return {"question": asked, "context": context}
    if not texts:
        raise InvalidRequest(f"{task} needs --text.")
    if text_pair is not None:
        return {"text": texts[0], "text_pair": text_pair}
    if compare:
        return {"source_sentence": texts[0], "sentences": compare}
    return texts if len(texts) > 1 else texts[0]


def _parameters(written: str) -> Any:
    try:
        return json.loads(written)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"--json is not JSON: {error.msg}.") from None


def _body(manifest: Manifest, content: dict[str, Any]) -> Body:
    """The HTTP body.

    Raises:
        InvalidRequest: an option does not fit the task; it is named.
    """
    bodies = bodies_of(manifest.task, tuple(manifest.labels), generates=manifest.generates)
    try:
        return body_for(content, bodies).model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise InvalidRequest(f"{place}: {problem['msg']}.") from None
