"""``tuneserve predict``: the server's own pipeline without HTTP."""

import json
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from cli.options import DEFAULT_STORE, StoreOption
from contracts.bodies import body_of
from contracts.errors import CheckpointError, InvalidRequest, ServingError
from contracts.schemas import Body
from contracts.tasks import Task
from model_store.backends.base import BackendChoice, BackendName, DeviceName, PrecisionName
from model_store.manifest import Manifest


def predict(
    name: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or NAME@ALIAS.")],
    text: Annotated[
        list[str] | None, typer.Option("--text", help="A text; repeat it for several.")
    ] = None,
    text_pair: Annotated[
        str | None, typer.Option("--text-pair", help="Classification: the second text.")
    ] = None,
    question: Annotated[
        str | None, typer.Option("--question", help="Question answering; --text does it too.")
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", help="Question answering: the text with the answer.")
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
    """Answer one text as the server would, and print the JSON."""
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
    body = _body(version.manifest, texts, text_pair, question, context, parameters)
    pipeline = load_pipeline(version, BackendChoice(backend, precision, device))
    answers = pipeline(body.items())
    pipeline.close()
    for answer in answers:
        if isinstance(answer, ServingError):
            raise answer
    typer.echo(json.dumps(body.shape(answers), indent=2, ensure_ascii=False))


def _body(
    manifest: Manifest,
    texts: list[str],
    text_pair: str | None,
    question: str | None,
    context: str | None,
    parameters: str,
) -> Body:
    """The HTTP body that says the same.

    Raises:
        InvalidRequest: an option is missing or does not fit the task; it is named.
    """
    try:
        chosen = json.loads(parameters)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"--json is not JSON: {error.msg}.") from None
    inputs: Any
    task = manifest.task
    if task is Task.QUESTION_ANSWERING:
        asked = question or (texts[0] if texts else None)
        if asked is None or context is None:
            raise InvalidRequest("Question answering needs --question and --context.")
        inputs = {"question": asked, "context": context}
    elif not texts:
        raise InvalidRequest(f"{task} needs --text.")
    elif text_pair is not None:
        inputs = {"text": texts[0], "text_pair": text_pair}
    else:
        inputs = texts if len(texts) > 1 else texts[0]
    try:
        schema = body_of(task, manifest.generates)
        return schema.model_validate({"inputs": inputs, "parameters": chosen})
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise InvalidRequest(f"{place}: {problem['msg']}.") from None
