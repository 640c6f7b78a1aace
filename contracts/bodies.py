"""Which bodies a request to a model may have: by its task, its labels, and how it answers."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from contracts.embeddings import EmbeddingBody, SimilarityBody
from contracts.errors import ServingError
from contracts.fill_mask import FillMaskBody
from contracts.generation import GenerationBody
from contracts.schemas import Body, ClassificationBody, NerBody, QaBody, SummaryBody
from contracts.tasks import Task
from contracts.zero_shot import ZeroShotBody, entailment_index

BODIES: dict[Task, type[Body]] = {
    body.task: body
    for body in (
        ClassificationBody,
        NerBody,
        QaBody,
        SummaryBody,
        EmbeddingBody,
        FillMaskBody,
        ZeroShotBody,
        SimilarityBody,
    )
}
"""Of models that do not generate, by what is asked."""


@lru_cache(maxsize=1024)
def bodies_of(
    task: Task, labels: tuple[str, ...] = (), *, generates: bool
) -> tuple[type[Body], ...]:
    """The schemas of a model's requests; the first is that of its own task.

    Args:
        task: what the model was fine-tuned for.
        labels: by class index.
        generates: whether it writes its answer token by token. Then all tasks are asked alike; a
            summariser that does not, chooses sentences and has other parameters.
    """
    if generates:
        return (GenerationBody,)
    if task is Task.TEXT_CLASSIFICATION and entailment_index(labels) is not None:
        return (ClassificationBody, ZeroShotBody)
    if task is Task.FEATURE_EXTRACTION:
        return (EmbeddingBody, SimilarityBody)
    return (BODIES[task],)


def body_for(content: Any, bodies: Sequence[type[Body]]) -> type[Body]:
    """Which of a model's schemas a request means.

    Args:
        content: the request's JSON, not validated yet.
        bodies: see ``bodies_of``.
    """
    if isinstance(content, dict):
        for body in bodies[1:]:
            if body.fits(content):
                return body
    return bodies[0]


def outcome_of(body: Body, answers: Sequence[Any], user_agent: str = "") -> Any:
    """What one body gives: its answer, or the first error among those of its items.

    Args:
        body: that was asked.
        answers: an answer or ``ServingError`` per item.
        user_agent: of the client; see ``Body.shape_for``.
    """
    for index, answer in enumerate(answers):
        if isinstance(answer, ServingError):
            answer.place = f"inputs[{index}]" if len(answers) > 1 else ""
            return answer
    return body.shape_for(user_agent, answers)
