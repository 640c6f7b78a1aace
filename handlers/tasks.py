"""The task table: which handler answers what is asked."""

from typing import Any

from contracts.tasks import Task
from handlers.base import Handler
from handlers.classification import ClassificationHandler
from handlers.embeddings import FeatureExtractionHandler, SentenceSimilarityHandler
from handlers.fill_mask import FillMaskHandler
from handlers.ner import NerHandler
from handlers.question_answering import QuestionAnsweringHandler
from handlers.summarization import SummarizationHandler
from handlers.zero_shot import ZeroShotHandler

HANDLERS: dict[Task, type[Handler[Any, Any]]] = {
    handler.task: handler
    for handler in (
        ClassificationHandler,
        NerHandler,
        QuestionAnsweringHandler,
        SummarizationHandler,
        FeatureExtractionHandler,
        FillMaskHandler,
        ZeroShotHandler,
        SentenceSimilarityHandler,
    )
}
