"""From a version on disk to something that answers: tokenizer, handler and backend put together.

The engine, ``tuneserve predict`` and the training gate load models here and nowhere else, so that
what passes the gate is what serves.
"""

from importlib import import_module
from typing import Any

from contracts.bodies import bodies_of
from contracts.tasks import Task
from handlers.base import Handler
from handlers.generation_pipeline import GenerationPipeline
from handlers.pipeline import Pipeline
from handlers.several import Several
from handlers.tokenization import TextTokenizer
from model_store.backends.base import BackendChoice
from model_store.manifest import Manifest
from model_store.version import ModelVersion


def load_handler(manifest: Manifest, tokenizer: TextTokenizer) -> Handler[Any, Any]:
    """What answers everything that the model can be asked; see ``load_pipeline`` of generation."""
    table: dict[Task, type[Handler[Any, Any]]] = import_module("handlers.tasks").HANDLERS
    bodies = bodies_of(manifest.task, tuple(manifest.labels), generates=False)
    handlers = [table[body.task](manifest, tokenizer) for body in bodies]
    return handlers[0] if len(handlers) == 1 else Several(handlers)


def load_pipeline(
    version: ModelVersion, choice: BackendChoice | None = None
) -> Pipeline | GenerationPipeline:
    """Load one version on the backend that was asked for.

    Args:
        version: a version of the store or a plain checkpoint folder.
        choice: backend, precision, device and threads; default: everything ``auto``.

    Raises:
        CheckpointError: the tokenizer, the weights or the artifact cannot be used.
    """
    from model_store.backends.load import (
        load_backend,
        load_generating_backend,
        measured_batch_tokens,
    )

    folder = version.tokenizer_folder or version.folder
    tokenizer = TextTokenizer.load(folder, version.manifest.max_tokens)
    choice = choice or BackendChoice()
    if version.manifest.generates:
        from handlers.generation import GenerationHandler

        writer = GenerationHandler(version.manifest, tokenizer)
        return GenerationPipeline(writer, load_generating_backend(version, choice))
    backend = load_backend(version, choice)
    budget = measured_batch_tokens(version, backend, choice)
    return Pipeline(load_handler(version.manifest, tokenizer), backend, budget)
