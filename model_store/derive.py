"""A manifest for a checkpoint that has none: read off the files that transformers writes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast, get_args

from contracts.errors import CheckpointError
from contracts.tasks import GENERATION_TASKS, Task
from model_store.embedding import embeds, max_sequence_tokens, read_embedding
from model_store.files import read_json
from model_store.generating import check_type, default_task, encoder_config, generation_defaults
from model_store.manifest import GENERATING_HEADS, Manifest, ProblemType, is_generating
from model_store.positions import position_limit
from model_store.weights import WEIGHTS, find_artifact, has_tokenizer, refuse_remote_code

TASK_KEY = "tuneserve_task"
"""In ``config.json``: the task, where the architecture alone does not say it."""

TASKS_BY_HEAD: dict[str, tuple[Task, ...]] = {
    "ForSequenceClassification": (Task.TEXT_CLASSIFICATION,),
    "ForTokenClassification": (Task.TOKEN_CLASSIFICATION, Task.SUMMARIZATION),
    "ForQuestionAnswering": (Task.QUESTION_ANSWERING,),
    "ForMaskedLM": (Task.FILL_MASK, Task.FEATURE_EXTRACTION),
    **dict.fromkeys(GENERATING_HEADS, GENERATION_TASKS),
    "Model": (Task.FEATURE_EXTRACTION,),
}
"""What each transformers head can do; the first is meant when nothing else is said. ``Model`` is no
head and comes last: the names of some that have one end in it too."""

OWN_GRAPHS = (Task.FEATURE_EXTRACTION, Task.FILL_MASK)
"""Tasks whose graphs have inputs or outputs of ours: those that others export differ."""

UNLABELLED = (Task.QUESTION_ANSWERING, Task.FEATURE_EXTRACTION, Task.FILL_MASK)

LONGEST_SANE_TOKENS = 1_000_000
"""transformers writes 1e30 for "no limit known"."""
DEFAULT_MAX_TOKENS = 512
"""For relative positions without a stated limit: the length that encoders are trained at."""


def derive_manifest(
    folder: Path, *, task: str | None = None, tokenizer: Path | None = None
) -> Manifest:
    """Describe a Hugging Face checkpoint folder.

    Args:
        folder: with ``config.json`` and weights.
        task: overrides what the configuration says, within what the architecture can do.
        tokenizer: the folder of the tokenizer, where it is not the same.

    Returns:
        A manifest with one artifact and no hashes.

    Raises:
        CheckpointError: the checkpoint cannot be served; the sentence says why and what to do.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder.")
    path = folder / "config.json"
    if not path.is_file():
        if (folder / "adapter_config.json").is_file():
            find_artifact(folder)
        raise CheckpointError(f"{path} is missing; a checkpoint is saved with save_pretrained.")
    config = read_json(path)
    tokenizer_folder = tokenizer or folder
    refuse_remote_code(folder)
    refuse_remote_code(tokenizer_folder)
    architecture, served = _task_of(path, config, task, embeds=embeds(folder))
    generates = is_generating(architecture)
    if generates:
        check_type(path, config)
    elif config.get("is_encoder_decoder"):
        raise CheckpointError(
            f"{path}: {architecture} decodes nothing, though it has a decoder, and is not served; "
            "use an encoder."
        )
    artifact = find_artifact(folder)
    if artifact.format == "onnx" and served in OWN_GRAPHS:
        raise CheckpointError(
            f"{folder} has an ONNX file and no safetensors; for {served} the graph is made here: "
            f"add {WEIGHTS} with the weights."
        )
    if not has_tokenizer(tokenizer_folder):
        raise CheckpointError(
            f"{tokenizer_folder} has no tokenizer (tokenizer.json or a vocabulary); "
            "name its folder with --tokenizer FOLDER."
        )
    unlabelled = generates or served in UNLABELLED
    max_tokens = _max_tokens(encoder_config(config), tokenizer_folder)
    embedding = None
    if served is Task.FEATURE_EXTRACTION:
        embedding = read_embedding(folder, config)
        max_tokens = min(max_tokens, max_sequence_tokens(folder) or max_tokens)
    return Manifest(
        task=served,
        architecture=architecture,
        labels=[] if unlabelled else _labels(path, config),
        problem_type=_problem_type(path, config) if served is Task.TEXT_CLASSIFICATION else None,
        max_tokens=max_tokens,
        embedding=embedding,
        generation_defaults=generation_defaults(folder, config) if generates else {},
        artifacts=[artifact],
        created=datetime.fromtimestamp(path.stat().st_mtime, UTC),
    )


def parse_task(task: str) -> Task:
    """Read a task's name.

    Raises:
        CheckpointError: no such task; the sentence names those that exist.
    """
    try:
        return Task(task)
    except ValueError:
        served = dict.fromkeys(each for tasks in TASKS_BY_HEAD.values() for each in tasks)
        raise CheckpointError(f"{task!r} is no task; choose from {', '.join(served)}.") from None


def _task_of(
    path: Path, config: dict[str, Any], task: str | None, *, embeds: bool
) -> tuple[str, Task]:
    """The class, and what it is served for; ``embeds``: sentence-transformers saved it."""
    architectures = config.get("architectures") or []
    if not isinstance(architectures, list) or len(architectures) != 1:
        raise CheckpointError(
            f"{path} must name exactly one architecture, not {architectures!r}; "
            "save the fine-tuned model with save_pretrained."
        )
    architecture = str(architectures[0])
    possible: tuple[Task, ...] = next(
        (tasks for head, tasks in TASKS_BY_HEAD.items() if architecture.endswith(head)), ()
    )
    if embeds and not is_generating(architecture):
        possible = (Task.FEATURE_EXTRACTION, *possible)
    if not possible:
        raise CheckpointError(
            f"{path}: {architecture} has no head that is served "
            f"({', '.join(TASKS_BY_HEAD)}); fine-tune it for a task first."
        )
    wanted = task or config.get(TASK_KEY)
    if wanted is None:
        generates = is_generating(architecture)
        return architecture, default_task(config) if generates else possible[0]
    served = parse_task(str(wanted))
    if served not in possible:
        raise CheckpointError(f"{path}: {architecture} cannot do {served}, only {possible[0]}.")
    return architecture, served


def _labels(path: Path, config: dict[str, Any]) -> list[str]:
    """By class index; transformers leaves ``id2label`` out when it has its two default labels."""
    names = config.get("id2label")
    if names is None:
        names = {index: f"LABEL_{index}" for index in range(config.get("num_labels") or 2)}
    try:
        by_index = {int(index): str(label) for index, label in names.items()}
        return [by_index[index] for index in range(len(names))]
    except (AttributeError, ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{path}: id2label must name every class from 0 upwards, once."
        ) from None


def _problem_type(path: Path, config: dict[str, Any]) -> ProblemType | None:
    stated = config.get("problem_type")
    for known in get_args(ProblemType):
        if stated == known:
            return cast(ProblemType, known)
    if stated is None:
        return None
    raise CheckpointError(
        f"{path}: problem_type {stated!r} is none of {', '.join(get_args(ProblemType))}."
    )


def _max_tokens(config: dict[str, Any], tokenizer_folder: Path) -> int:
    positions = position_limit(config)
    limits = [] if positions is None else [positions]
    path = tokenizer_folder / "tokenizer_config.json"
    stated = read_json(path).get("model_max_length") if path.is_file() else None
    if isinstance(stated, int | float) and 0 < stated <= LONGEST_SANE_TOKENS:
        limits.append(int(stated))
    return min(limits, default=DEFAULT_MAX_TOKENS)
