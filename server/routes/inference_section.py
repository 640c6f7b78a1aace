"""What the OpenAPI document says of the inference paths: a schema and an example per task."""

from typing import Any

from contracts.bodies import BODIES
from contracts.fill_mask import Proposal
from contracts.generation import Generated, GenerationBody, StreamEvent
from contracts.schemas import Answer, Body, Entity, LabelScore, Summary
from contracts.tasks import Task
from contracts.zero_shot import LabelColumns
from server.openapi import (
    ASKING,
    MODEL_NAME,
    REQUEST_ID,
    TIMEOUT,
    Section,
    errors,
    json_answer,
    json_body,
    operation,
    refer,
    schemas_of,
)

EXAMPLES: dict[str, Any] = {
    "text-classification": {
        "inputs": "Where is my parcel? It should have come on Monday.",
        "parameters": {"top_k": 3},
    },
    "token-classification": {
        "inputs": "Anna Keller from Basel ordered a ThinkPad on 3 May.",
        "parameters": {"aggregation_strategy": "simple"},
    },
    "question-answering": {
        "inputs": {
            "question": "How long can I return it?",
            "context": "Every order can be returned within 30 days of delivery.",
        }
    },
    "summarization (extractive)": {
        "inputs": "The council met on Tuesday. It approved the new bridge. Tea was served.",
        "parameters": {"max_sentences": 1},
    },
    "summarization (generated)": {
        "inputs": "The council met on Tuesday. It approved the new bridge. Tea was served.",
        "parameters": {"max_new_tokens": 20, "num_beams": 2},
    },
    "translation": {
        "inputs": "The bridge will be open in spring.",
        "parameters": {"max_new_tokens": 20},
    },
    "text2text-generation": {
        "inputs": "The council met on Tuesday.",
        "parameters": {"max_new_tokens": 20, "temperature": 0.7, "seed": 1},
        "stream": True,
    },
    "feature-extraction": {"inputs": ["How do I return it?", "Where is my parcel?"]},
    "sentence-similarity": {
        "inputs": {
            "source_sentence": "How do I return it?",
            "sentences": ["Can I send this back?", "The bridge is open."],
        }
    },
    "zero-shot-classification": {
        "inputs": "The parcel is two weeks late.",
        "parameters": {"candidate_labels": ["delivery", "payment", "praise"]},
    },
    "fill-mask": {"inputs": "The parcel waits in the [MASK].", "parameters": {"top_k": 2}},
}
_BODIES: tuple[type[Body], ...] = (*BODIES.values(), GenerationBody)
_ANSWERS: dict[str, Any] = {
    "TextClassificationAnswer": list[list[LabelScore]],
    "TokenClassificationAnswer": list[Entity] | list[list[Entity]],
    "QuestionAnsweringAnswer": Answer | list[Answer],
    "SummarizationAnswer": list[Summary],
    "GenerationAnswer": list[Generated],
    "FeatureExtractionAnswer": list[list[float]] | list[str],
    "SentenceSimilarityAnswer": list[float] | list[list[float]],
    "ZeroShotClassificationAnswer": list[LabelScore]
    | list[list[LabelScore]]
    | LabelColumns
    | list[LabelColumns],
    "FillMaskAnswer": list[Proposal] | list[list[Proposal]] | list[list[list[Proposal]]],
}
PARTIAL: dict[str, Any] = {
    "name": "X-Partial-Results",
    "in": "header",
    "description": "true: where an input of a list fails, its place in the answer holds the error.",
    "schema": {"enum": ["true", "false"]},
}
_PARTIAL = {
    "type": "array",
    "description": "With X-Partial-Results: answers, and errors in their places",
    "items": {"anyOf": [refer("ServingError"), {}]},
}
_EVENTS = (
    "Server-sent events of models that generate, asked for by the Accept header or by stream = true"
    " in the body: data is a StreamEvent per token; the last is named done and has the whole"
    " answer, or is named error and has a ServingError."
)


def inference_section() -> Section:
    """The paths of ``inference_routes``."""

    def ask(summary: str, *parameters: dict[str, Any]) -> dict[str, Any]:
        return {
            "post": operation(
                summary,
                {"200": _ANSWERED, **errors(ASKING)},
                parameters=[*parameters, TIMEOUT, REQUEST_ID, PARTIAL],
                body=json_body(refer(*(body.__name__ for body in _BODIES)), EXAMPLES),
            )
        }

    def ask_for(task: Task, summary: str, answer: str) -> dict[str, Any]:
        answered = json_answer({"anyOf": [refer(answer), _PARTIAL]}, "One per input")
        return {
            "post": operation(
                summary,
                {"200": answered, **errors(ASKING)},
                parameters=[MODEL_NAME, TIMEOUT, REQUEST_ID, PARTIAL],
                body=json_body(refer(BODIES[task].__name__), {task.value: EXAMPLES[task]}),
            )
        }

    return Section(
        tag="inference",
        about="Hugging Face's shapes: the body of a model is that of its task.",
        paths={
            "/models/{name}": ask("Ask a model", MODEL_NAME),
            "/models/{name}/pipeline/feature-extraction": ask_for(
                Task.FEATURE_EXTRACTION, "Embed texts", "FeatureExtractionAnswer"
            ),
            "/models/{name}/pipeline/sentence-similarity": ask_for(
                Task.SENTENCE_SIMILARITY, "Compare a text with others", "SentenceSimilarityAnswer"
            ),
            "/": ask("Ask the default model"),
            "/invocations": ask("Ask the default model (SageMaker)"),
        },
        schemas=schemas_of(
            {body.__name__: body for body in _BODIES} | _ANSWERS | {"StreamEvent": StreamEvent}
        ),
    )


_ANSWERED = {
    "description": "The answer, in the shape of the model's task",
    "content": {
        "application/json": {"schema": {"anyOf": [*refer(*_ANSWERS)["anyOf"], _PARTIAL]}},
        "text/event-stream": {"schema": {"type": "string", "description": _EVENTS}},
    },
}
