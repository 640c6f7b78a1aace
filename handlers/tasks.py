"""The task table: which handler answers which task."""

from typing import Any

from contracts.tasks import Task
from handlers.base import Handler
from handlers.classification import ClassificationHandler
from handlers.ner import NerHandler
from handlers.question_answering import QuestionAnsweringHandler
from handlers.summarization import SummarizationHandler

HANDLERS: dict[Task, type[Handler[Any, Any]]] = {
    handler.task: handler
    for handler in (
        ClassificationHandler,
        NerHandler,
        QuestionAnsweringHandler,
        SummarizationHandler,
    )
}
