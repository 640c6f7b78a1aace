"""The tasks this server knows, by the names that the Hugging Face hub uses."""

from enum import StrEnum


class Task(StrEnum):
    """The kind of problem a checkpoint was fine-tuned for."""

    TEXT_CLASSIFICATION = "text-classification"
    TOKEN_CLASSIFICATION = "token-classification"
    QUESTION_ANSWERING = "question-answering"
    SUMMARIZATION = "summarization"
    TRANSLATION = "translation"
    TEXT2TEXT_GENERATION = "text2text-generation"


GENERATION_TASKS = (Task.SUMMARIZATION, Task.TRANSLATION, Task.TEXT2TEXT_GENERATION)
"""What a sequence-to-sequence checkpoint may be fine-tuned for; all are answered alike."""
