"""Which models this server has: found in the parent, loaded in the engine."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from contracts.bodies import bodies_of
from contracts.errors import BackendFailure, CheckpointError, ServingError, UnknownModel
from contracts.tasks import Task
from handlers.load import load_pipeline
from model_store.backends.base import BackendChoice
from model_store.manifest import Manifest
from model_store.sources import open_source
from model_store.store import Store
from model_store.version import ModelVersion
from server.lanes import Lane
from server.messages import ModelStatus
from server.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What the settings name: versions to load, and what cannot be loaded, with the reason."""

    versions: tuple[ModelVersion, ...]
    refused: tuple[ModelStatus, ...]

    def lanes(self) -> dict[Lane, "Found"]:
        """What each lane loads: one, or both where some models generate and others do not.

        What is refused already is told by one lane only: the first.
        """
        lanes: dict[Lane, Found] = {}
        for lane in Lane:
            versions = [one for one in self.versions if Lane.of(one.manifest.generates) is lane]
            if versions:
                lanes[lane] = Found(tuple(versions), () if lanes else self.refused)
        return lanes or {Lane.ENCODING: self}

    def statuses(self) -> tuple[ModelStatus, ...]:
        """Every model before anything is loaded."""
        return (*map(loading_status, self.versions), *self.refused)


def find_models(settings: Settings) -> Found:
    """Resolve the store and every ``--model``; nothing is loaded yet.

    Of each model in the store every version that an alias points to is served, and the newest one
    where there is no ``production``.
    """
    store = Store(settings.store)
    versions: list[ModelVersion] = []
    found, broken = store.scan()
    for name in dict.fromkeys(version.name for version in found):
        versions += served_versions(store, [one for one in found if one.name == name])
    refused = [_refused(where, str(error)) for where, error in broken]
    for one in settings.model:
        name, _, reference = one.partition("=")
        try:
            versions.append(open_source(name, reference, cache_root=store.cache_root))
        except CheckpointError as error:
            refused.append(_refused(name, str(error)))
    for status in refused:
        logger.error("a model is refused: %s", status.reason, extra={"model": status.name})
    return Found(tuple(versions), tuple(refused))


def served_versions(store: Store, good: Sequence[ModelVersion]) -> list[ModelVersion]:
    """Of the good versions of one model, those that are served unasked; see ``find_models``."""
    name = good[0].name
    try:
        current = store.resolve(name).version
    except (CheckpointError, UnknownModel):
        current = None  # broken, as scan has told: what an alias names is served all the same
    return [one for one in good if one.aliases or one.version == current]


def load_version(
    version: ModelVersion, choice: BackendChoice, checked: Future[None]
) -> tuple[ModelStatus, Any]:
    """Verify, load and warm one version.

    Args:
        version: to load.
        choice: backend, precision, device and threads.
        checked: ends when its files' hashes were compared.

    Returns:
        Its status, ``ready`` or ``refused`` with the reason; and what answers: a ``Pipeline``, a
        ``GenerationPipeline``, or None.
    """
    began = time.monotonic()
    status = loading_status(version)
    try:
        pipeline = _load(version, choice, checked)
    except Exception as error:
        expected = isinstance(error, CheckpointError)
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        logger.error(
            "a model is refused: %s", reason, exc_info=not expected, extra={"model": version.id}
        )
        return replace(status, state="refused", reason=reason), None
    backend = pipeline.backend
    logger.info(
        "model ready",
        extra={
            "model": version.id,
            "backend": backend.name,
            "precision": backend.precision,
            "seconds": round(time.monotonic() - began, 2),
        },
    )
    ready = replace(
        status,
        state="ready",
        backend=backend.name,
        precision=backend.precision,
        device=backend.device,
        bytes=backend.bytes,
        batch_tokens=getattr(pipeline, "batch_tokens", 0),
    )
    return ready, pipeline


def _load(version: ModelVersion, choice: BackendChoice, checked: Future[None]) -> Any:
    """A warm pipeline of a version whose files are those that were published."""
    try:
        pipeline = load_pipeline(version, choice)
        warm_up(pipeline)
    except Exception:
        checked.result()  # a file that was damaged explains why it does not load
        raise
    try:
        checked.result()
    except CheckpointError:
        pipeline.close()
        raise
    return pipeline


def warm_up(pipeline: Any) -> None:
    """Run a short and a longer text through the whole pipeline, alone and together.

    Raises:
        BackendFailure: the model does not answer.
    """
    manifest = pipeline.handler.manifest
    for words in (4,) if manifest.generates else (4, 40):
        items = _examples(pipeline, "warm up " * words)
        for copies in (1, 4):
            for answer in pipeline(items * copies):
                if isinstance(answer, ServingError) and answer.status >= 500:
                    raise BackendFailure("the model does not answer")


def _examples(pipeline: Any, text: str) -> list[Any]:
    manifest: Manifest = pipeline.handler.manifest
    body: dict[str, Any] = {"inputs": text}
    if manifest.generates:
        body["parameters"] = {"max_new_tokens": 2}
    elif manifest.task is Task.QUESTION_ANSWERING:
        body["inputs"] = {"question": "What is warm?", "context": text}
    elif manifest.task is Task.FILL_MASK:
        body["inputs"] = text + pipeline.handler.tokenizer.mask
    schema = bodies_of(manifest.task, generates=manifest.generates)[0]
    return schema.model_validate(body).items()


def loading_status(version: ModelVersion) -> ModelStatus:
    """A version that is not there yet."""
    embedding = version.manifest.embedding
    return ModelStatus(
        name=version.name,
        version=version.version,
        aliases=version.aliases,
        task=version.manifest.task.value,
        state="loading",
        max_tokens=version.manifest.max_tokens,
        labels=tuple(version.manifest.labels),
        generates=version.manifest.generates,
        created=int(version.manifest.created.timestamp()),
        pooling="+".join(embedding.pooling) if embedding else None,
    )


def _refused(where: str, reason: str) -> ModelStatus:
    name, _, version = where.partition("@")
    return ModelStatus(
        name=name,
        version=int(version) if version.isdecimal() else 0,
        aliases=(),
        task="",
        state="refused",
        reason=reason,
    )
