"""The tasks this server knows, by the names that the Hugging Face hub uses."""

from enum import StrEnum


class Task(StrEnum):
    """The kind of problem a checkpoint was fine-tuned for, or a request asks about.

    The last two are asked of checkpoints that were fine-tuned for another one: zero-shot
    classification of a classifier that knows entailment, sentence similarity of an embedder.
    """

    TEXT_CLASSIFICATION = "text-classification"
    TOKEN_CLASSIFICATION = "token-classification"
    QUESTION_ANSWERING = "question-answering"
    SUMMARIZATION = "summarization"
    TRANSLATION = "translation"
    TEXT2TEXT_GENERATION = "text2text-generation"
    FEATURE_EXTRACTION = "feature-extraction"
    FILL_MASK = "fill-mask"
    ZERO_SHOT_CLASSIFICATION = "zero-shot-classification"
    SENTENCE_SIMILARITY = "sentence-similarity"


GENERATION_TASKS = (Task.SUMMARIZATION, Task.TRANSLATION, Task.TEXT2TEXT_GENERATION)
"""What a sequence-to-sequence checkpoint may be fine-tuned for; all are answered alike."""
